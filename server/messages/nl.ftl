# Texts for people of the wijk, in simple Dutch. One file, one language.

## How far own words got

state-saved = bewaard op dit toestel
state-on-the-way = onderweg
state-arrived-on = aangekomen op { $day }
state-refused = niet aangenomen: { $reason }

## Months

month-1 = januari
month-2 = februari
month-3 = maart
month-4 = april
month-5 = mei
month-6 = juni
month-7 = juli
month-8 = augustus
month-9 = september
month-10 = oktober
month-11 = november
month-12 = december

## Outcomes

outcome-yes = ja
outcome-no = nee
outcome-partly = voor een deel
outcome-later = later

## Why something was not taken in

reason-not-yours = dit is door iemand anders geschreven
reason-not-allowed = dat mag je (nog) niet in deze wijk
reason-erased = dit is gewist
reason-card-used = deze kaart is al door een ander toestel gebruikt
reason-cloned = dit toestel bestaat twee keer. Meld het aan met een nieuwe kaart en schrijf het daar opnieuw.
reason-other = de wijk kan dit niet lezen. Probeer het opnieuw.

## What a phone says of the wijk's server

server-went-back =
    Let op: de server van je wijk liet minder zien dan hij eerder had bevestigd. Waarschijnlijk is er een oude kopie teruggezet, of
    draaien er twee. Je telefoon bewaart het bewijs en heeft teruggebracht wat ontbrak. Zeg dit tegen het bestuur.
server-never-went-back = De server van je wijk liet altijd alles zien wat hij had bevestigd.
server-began-again =
    De server van je wijk is opnieuw begonnen, met een nieuwe sleutel die bij jouw wijk hoort. Je telefoon heeft gekeken wat daar
    ontbrak en bracht dat terug.

## The terminal phone

phone-joined = Je doet mee met wijk { $wijk }.
phone-nothing = Nog niets geschreven in deze wijk.
phone-not-agreed = nog niet eens: het bestuur heeft meer dan één besluit
phone-received = ontvangen op { $day }
phone-replaced = nieuwe tekst; de oude is gewist
phone-voices =
    { $support ->
        [one] 1 keer steun
       *[other] { $support } keer steun
    }, { $agree } eens, { $disagree } oneens, { $pass } geen mening
phone-decided = besluit: { $outcome }
phone-decided-on = besluit op { $day }: { $outcome }
phone-reason = waarom: { $reason }
phone-party = door: { $party }
phone-due = voor: { $day }
phone-answer = antwoord: { $answer }
phone-no-meetings = Nog geen bijeenkomsten.

## The terminal phone: sealed input and circles

sealed-receipt = bewijs: { $letters } (schrijf het op: hiermee vind je het antwoord, ook op een ander toestel)
sealed-nothing = Nog niets vertrouwelijks.
sealed-nothing-own = Je hebt nog niets vertrouwelijks geschreven.
sealed-no-answer = Nog geen antwoord. Kijk later nog eens.
sealed-answer-on = antwoord op { $day }: { $answer }
sealed-answers =
    { $count ->
        [one] 1 antwoord gegeven
       *[other] { $count } antwoorden gegeven
    }
sealed-gone = (gewist)
sealed-closed = (dit toestel kan dit niet openen)
sealed-notice-about = melding over { $id }
sealed-appeal-against = bezwaar tegen besluit { $id }
sealed-erasing = hier gewist; de server hoort het bij de volgende verbinding
sealed-erasing-on-the-way = hier gewist; onderweg naar de server
sealed-erased = gewist, hier en bij de server
circle-none = Dit toestel zit in geen kring.
circle-keys = In deze kring:
circle-own-key = (dit toestel)

## Rulings on notices, and erasures by staff

ruling-hide = verborgen voor anderen
ruling-hide-on = verborgen voor anderen op { $day }
ruling-keep = beoordeeld: dit mag te zien zijn
ruling-keep-on = beoordeeld op { $day }: dit mag te zien zijn
ruling-ground = grond: { $ground }
ruling-appeal = niet mee eens? Maak bezwaar, met het nummer van deze beslissing: { $ruling }
erasure-signed = een beheerder wil dit wissen; het is verborgen voor anderen tot een tweede ook tekent
erasure-signed-on = een beheerder wil dit wissen (getekend op { $day }); het is verborgen voor anderen tot een tweede ook tekent

rulings-none = Er is nog niets beoordeeld.
erasures-none = Niemand van de staf heeft iets laten wissen.
erasure-waits-administrator = wacht op de handtekening van een beheerder
erasure-waits-second = verborgen; wacht op een tweede handtekening
erasure-done = gewist
erasure-signature = getekend door { $person } ({ $day })
rewrite-erase-old = De oude tekst staat er nog. Laat twee van de staf hem wissen: erase { $id } --ground "..."
meeting-replaces = nieuwe tekst, in plaats van { $id }
meeting-replaced-by = er is een nieuwe tekst: { $id }

## How far an erasure reached

erase-report-unknown = De server weet nog niet dat dit gewist is. Probeer het later nog eens.
erase-report = Gewist op { $confirmed } van de { $devices } toestellen.
erase-report-left =
    { $left ->
        [one] 1 toestel heeft het nog niet bevestigd. Het wist deze tekst zodra het weer verbinding heeft.
       *[other] { $left } toestellen hebben het nog niet bevestigd. Ze wissen deze tekst zodra ze weer verbinding hebben.
    }
erase-report-limits = Wat niemand kan wissen: een foto van een scherm, en een telefoon die nooit meer verbinding maakt. Toestellen die uit de wijk zijn gehaald, tellen hier niet mee.

## Who belongs

role-resident = bewoner
role-facilitator = begeleider
role-board = bestuurslid
role-administrator = beheerder
role-party = spreekt voor een organisatie
person-self = (jij)
device-line = toestel { $id }
device-this = (dit toestel)
revoked-because = hoort er niet meer bij: { $why }
revoked-lost = kwijt of gestolen
revoked-left = vertrokken
revoked-abuse = misbruik
cards-none = Er zijn nog geen kaarten.
cards-for-device = eigen toestel
cards-count = { $made } gemaakt, { $used } gebruikt, { $left } nog te gebruiken
cards-withdrawn = ingetrokken
cards-withdrawn-now =
    { $unused ->
        [0] Ingetrokken. Er was geen kaart meer over.
        [one] Ingetrokken. Met 1 kaart kan niemand meer meedoen.
       *[other] Ingetrokken. Met { $unused } kaarten kan niemand meer meedoen.
    }
device-card-hint = Gebruik deze link op je andere toestel. Wie de link heeft, schrijft als jij: geef hem aan niemand. De letters alleen zijn niet genoeg.
leave-done = Je bent weg uit deze wijk. Maak nog één keer verbinding (sync), dan weet de wijk het. Wat je schreef, blijft staan.
leave-arrived = De wijk weet dat je weg bent.
phone-revoked = Dit toestel hoort niet meer bij de wijk: { $why }. Wat je hier nog schrijft, telt nergens mee.
phone-left-behind = telt niet mee: dit toestel hoorde er niet meer bij

## Secret polls

choice-support = steun
choice-agree = eens
choice-disagree = oneens
choice-pass = geen mening
choice-withdrawn = teruggenomen
poll-own = jouw geheime antwoord: { $choice }
poll-no-own = Je hebt hier nog niet in het geheim geantwoord.
poll-not-counted = Er is nog niet geteld.
poll-counted-on = Geteld op { $day }:
poll-too-few = Antwoorden die minder dan 10 mensen gaven, staan hier niet. Zo is niemand te herkennen.

## The board page: everywhere

board-name = Bestuurspagina
board-name-of = { $wijk } · bestuurspagina
board-skip = Naar de inhoud
board-menu = Hoofdmenu
board-queue = Inbreng
board-meetings = Bijeenkomsten
board-stale = Deze pagina krijgt geen nieuws meer van de server. Herlaad de pagina om te zien of de server draait.
board-to-queue = Naar alle inbreng
board-to-meetings = Naar alle bijeenkomsten
board-no-title = (zonder titel)
board-theme = Thema
board-theme-unknown = thema { $number }
board-no-buurt = niet genoemd

## The board page: the queue

board-counter =
    { $all ->
        [0] Er is nog geen inbreng.
        [one] 1 inbreng, { $open ->
            [0] beantwoord.
           *[other] nog zonder antwoord.
        }
       *[other] { $all } keer inbreng, waarvan { $open } nog zonder antwoord.
    }
board-filters = Kies wat u ziet
board-all = alles
board-all-themes = alle thema’s
board-queue-caption = Inbreng van bewoners, wat nog antwoord nodig heeft bovenaan
board-queue-empty = Hier staat niets. Kies een ander thema of een andere stand, of wacht op nieuwe inbreng.
board-column-title = Titel
board-column-buurt = Buurt
board-column-received = Ontvangen
board-column-support = Steun
board-column-agree = Eens
board-column-disagree = Oneens
board-column-pass = Geen mening
board-not-received = nog niet ontvangen
board-standing = Stand
board-standing-open = open
board-standing-not-agreed = nog niet eens
board-standing-answered = beantwoord

## The board page: one contribution

board-line = Wat er met deze inbreng gebeurde
board-not-agreed = Nog niet eens: er staan verschillende besluiten naast elkaar. Een nieuw besluit komt in de plaats van alle.
board-also-about = Dit besluit gaat ook over
board-decide = Besluiten en antwoorden
board-decide-anew = Opnieuw besluiten
board-replaces =
    { $count ->
        [one] Er staat al een besluit. Wat u hier bewaart, komt daarvoor in de plaats.
       *[other] Er staan al { $count } besluiten. Wat u hier bewaart, komt voor al die besluiten in de plaats.
    }
board-outcome = Besluit
board-answer = Antwoord aan bewoners
board-answer-hint = In eenvoudige woorden. Dit lezen en horen bewoners.
board-reason = Waarom
board-reason-hint = Wat woog mee? Noem ook wat niet kan.
board-party = Wie doet het
board-party-hint = Bijvoorbeeld: gemeente, woningcorporatie. Mag leeg blijven.
board-due = Vóór welke dag
board-due-hint = Mag leeg blijven.
board-public = Iedereen in de wijk kan dit besluit lezen. Het kan later worden vervangen, maar niet gewist.
board-save = Besluit bewaren
board-saved-here = Bewaard op het toestel van het bestuur. Het is nog niet aangekomen bij de server; dat gaat vanzelf zodra dat kan.
board-saved-arrived = Bewaard, en aangekomen op { $day }. Bewoners krijgen het antwoord zodra hun telefoon verbinding heeft.
board-saved-refused = Bewaard op het toestel van het bestuur, maar niet aangenomen: { $reason }

## The board page: what is wrong with a decision

board-form-problems = Het besluit is nog niet bewaard. Wat u typte, staat er nog.
board-outcome-missing = Kies een besluit: ja, nee, voor een deel of later.
board-answer-missing = Schrijf een antwoord aan de bewoners.
board-reason-missing = Schrijf op waarom u dit besluit.
board-too-long =
    { $over ->
        [one] Dit is 1 letter te lang. Maak het korter.
       *[other] Dit is ongeveer { $over } letters te lang. Maak het korter.
    }
board-due-past = Deze dag is al voorbij. Kies vandaag of later.
board-due-wrong = Dit is geen dag. Schrijf jaar, maand en dag, zoals 2027-05-01.
board-form-old = Deze pagina was te oud, daarom is er niets bewaard. Wat u typte, staat er nog: bewaar het opnieuw.
board-decided-meanwhile = Terwijl u schreef, is er een ander besluit bijgekomen. Er is niets bewaard. Lees het hieronder; bewaart u opnieuw, dan komt uw besluit ervoor in de plaats.
board-not-saved = Het besluit kon niet worden bewaard. Wat u typte, staat er nog: probeer het opnieuw, of vraag de beheerder.

## The board page: meetings

board-meetings-empty = Er zijn nog geen bijeenkomsten.
board-meeting-items =
    { $count ->
        [one] 1 agendapunt
       *[other] { $count } agendapunten
    }
board-notes-empty = De agenda is nog leeg.
board-notes-none = Nog geen aantekeningen.

## The board page: what went wrong

board-no-entry = Deze pagina is voor het bestuur
board-no-entry-what = Gebruik de link die de server toonde toen hij startte. Die link werkt één keer en een half uur lang. Op de computer waar de server draait, opent de pagina ook zonder link.
board-link-used = Deze link werkt niet meer
board-link-used-what = Een link werkt één keer en een half uur lang. Vraag de beheerder om de server opnieuw te starten: dan toont hij een nieuwe link.
board-other-site = Dit kwam niet van deze pagina
board-other-site-what = Er is niets bewaard. Open de inbreng opnieuw en bewaar uw besluit daar.
board-form-odd = Dit formulier kan niet worden gelezen
board-form-odd-what = Er is niets bewaard. Ga terug in uw browser, maak de tekst korter en probeer het opnieuw.
board-not-found = Deze pagina is er niet
board-not-found-what = Het adres klopt niet, of een bewoner heeft deze inbreng gewist.
board-stopping = De server stopt
board-stopping-what = Er is niets bewaard. Start de server opnieuw en herlaad deze pagina.
board-refilling = De server wordt weer gevuld
board-refilling-what =
    De gegevens van deze server waren weg, of ouder dan wat hij eerder had bevestigd. De telefoons van bewoners brengen nu terug
    wat ontbreekt. Daarom kan het bestuur hier nog niets lezen of besluiten. De beheerder zegt wanneer het weer kan.
board-broken = Er ging iets mis
board-broken-what = De gegevens kunnen niet worden gelezen. Vraag de beheerder om in het logboek van de server te kijken.

## Themes: the five principles

theme-1 = Een huis dat je kunt betalen
theme-2 = Rondkomen zonder zorgen
theme-3 = Meedoen op jouw manier
theme-4 = Gezond en veilig groot worden
theme-5 = Een overheid die haar woord houdt
