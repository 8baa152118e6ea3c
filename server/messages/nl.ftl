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
reason-other = de wijk kan dit niet lezen. Probeer het opnieuw.

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

## Themes: the five principles

theme-1 = Een huis dat je kunt betalen
theme-2 = Rondkomen zonder zorgen
theme-3 = Meedoen op jouw manier
theme-4 = Gezond en veilig groot worden
theme-5 = Een overheid die haar woord houdt
