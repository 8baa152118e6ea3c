import Foundation

/// One wijk on this device.
///
/// Every command returns when it is flushed on this device; none waits for the network. What fails throws a ``WijkError``, one case
/// for each thing an app can do something about. A kill at any moment loses nothing that was returned from.
public actor Phone {
    let wijk: Wijk
    private let notices: Notices

    private init(wijk: Wijk, notices: Notices) {
        self.wijk = wijk
        self.notices = notices
    }

    /// Opens the folder of a device, making it when it isn't there. A folder can be open once at a time.
    ///
    /// - Parameters:
    ///   - folder: Belongs to this device alone: it must not go into a backup that another device restores.
    ///   - vault: Where the key of the folder is kept; ``KeychainVault`` in an app.
    ///   - connector: How servers are reached; ``URLSessionConnector`` in an app.
    ///   - network: Whether there is one now, as far as the system knows. ``setNetwork(available:)`` says when that changes.
    public static func open(
        folder: URL, vault: any KeyVault, connector: any Connector, network: Bool = true
    ) async throws(WijkError) -> Phone {
        let notices = Notices()
        let wijk = try await typed {
            try await openWijk(folder: folder.path, vault: vault, connector: connector, listener: notices, network: network)
        }
        return Phone(wijk: wijk, notices: notices)
    }

    // MARK: Taking part

    /// Joins with a card: what its QR code holds. Works without a network; the server's word comes with the first sync.
    public func join(link: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.join(link: link) }
    }

    /// Asks a server which wijk it serves, and gives the link of a card whose sixteen letters were typed.
    public func link(letters: String, server: String) async throws(WijkError) -> String {
        try await typed { [wijk] in
            let id = try await wijk.askWijk(server: server)
            return try cardLink(letters: letters, wijk: id, server: server)
        }
    }

    /// Who this device is; nothing before it joined.
    public func me() async throws(WijkError) -> Me? {
        try await typed { [wijk] in try await wijk.me() }
    }

    /// Sends something in, for all of the wijk to read. Returns its id.
    public func contribute(_ content: Content) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.contribute(content: content) }
    }

    /// Changes own input. Where words go away it becomes a new one and the old one is erased: the id that is returned counts from
    /// then on.
    public func edit(id: String, content: Content) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.edit(id: id, content: content) }
    }

    /// Supports a contribution, or speaks on a question. The last word counts.
    public func speak(id: String, voice: Voice) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.speak(id: id, voice: voice) }
    }

    /// Takes own input or an own voice back for good, everywhere. ``erasure(id:)`` says how far that reached.
    public func erase(id: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.erase(id: id) }
    }

    /// Asks the server how far an erasure reached; with the next connection, where there is none.
    public func askErasure(id: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.askErasure(id: id) }
    }

    /// How far an erasure reached, as the server last said.
    public func erasure(id: String) async throws(WijkError) -> Erasure {
        try await typed { [wijk] in try await wijk.erasure(id: id) }
    }

    // MARK: Only for the board to read

    /// Sends in something that only the board can read; the server isn't told from whom. Returns its id.
    public func seal(_ content: Content) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.seal(content: content) }
    }

    /// Own sealed stories, with what was answered.
    public func ownSealed() async throws(WijkError) -> [OwnSealed] {
        try await typed { [wijk] in try await wijk.ownSealed() }
    }

    /// What was answered to the holder of a receipt, on any device of the wijk.
    public func answers(receipt: String) async throws(WijkError) -> [String] {
        try await typed { [wijk] in try await wijk.answersFor(receipt: receipt) }
    }

    /// What was sealed for the board; nothing on devices of others.
    public func sealedStories() async throws(WijkError) -> [SealedStory] {
        try await typed { [wijk] in try await wijk.sealedStories() }
    }

    /// Answers a sealed story (board); only the holder of its receipt can read it.
    public func answerSealed(id: String, answer: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.answerSealed(id: id, answer: answer) }
    }

    // MARK: Meetings

    /// Begins a meeting with its agenda (facilitators). Returns its id.
    public func newMeeting(title: String, agenda: [String]) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.newMeeting(title: title, agenda: agenda) }
    }

    /// Adds a point to an agenda.
    public func addAgendaItem(meeting id: String, title: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.addAgendaItem(id: id, title: title) }
    }

    /// Makes the notes of a point (from 0) read like `text`. `before` is what the editor showed, so that what came meanwhile isn't
    /// undone.
    public func setNotes(meeting id: String, item: UInt32, before: String, text: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.setNotes(id: id, item: item, before: before, text: text) }
    }

    /// Changes the notes of a point (from 0): at character `at`, `delete` characters go and `insert` comes.
    public func editNotes(
        meeting id: String, item: UInt32, at: UInt32, delete: UInt32, insert: String
    ) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.editNotes(id: id, item: item, at: at, delete: delete, insert: insert) }
    }

    /// Says that the person looks at this now, and whether the person writes there; `nil`: at nothing any more. Others hear how many
    /// look, never who.
    public func attend(id: String?, writes: Bool = false) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.attend(id: id, writes: writes) }
    }

    /// Others who look at this now: numbers, never who. Nothing without a line to the server, or without ``attend(id:writes:)``.
    public func present(id: String) async throws(WijkError) -> Present? {
        try await typed { [wijk] in try await wijk.present(id: id) }
    }

    // MARK: Staff

    /// Decides on contributions and answers them (board). `replaces` names decisions that this one takes the place of.
    public func decide(
        about: [String], outcome: Outcome, reason: String, answer: String, party: String = "", dueDay: UInt32? = nil,
        replaces: [String] = []
    ) async throws(WijkError) {
        try await typed { [wijk] in
            try await wijk.decide(
                about: about, outcome: outcome, reason: reason, answer: answer, party: party, dueDay: dueDay, replaces: replaces
            )
        }
    }

    /// Makes cards for people to join with (facilitators and up), at most 1,000: the links that QR codes hold.
    public func invite(role: Role, count: UInt32) async throws(WijkError) -> [String] {
        try await typed { [wijk] in try await wijk.invite(role: role, count: count) }
    }

    // MARK: Looking

    /// How many contributions there are to show.
    public func contributionCount() async throws(WijkError) -> UInt32 {
        try await typed { [wijk] in try await wijk.contributionCount() }
    }

    /// `count` contributions from `first` on, at most 1,000, in the order the server received them.
    public func contributions(first: UInt32 = 0, count: UInt32 = 1000) async throws(WijkError) -> [Contribution] {
        try await typed { [wijk] in try await wijk.contributions(first: first, count: count) }
    }

    /// One contribution.
    public func contribution(id: String) async throws(WijkError) -> Contribution {
        try await typed { [wijk] in try await wijk.contribution(id: id) }
    }

    /// One contribution with all that happened to it.
    public func timeline(id: String) async throws(WijkError) -> Timeline {
        try await typed { [wijk] in try await wijk.timeline(id: id) }
    }

    /// All meetings.
    public func meetings() async throws(WijkError) -> [Meeting] {
        try await typed { [wijk] in try await wijk.meetings() }
    }

    /// One meeting with its notes.
    public func meeting(id: String) async throws(WijkError) -> Meeting {
        try await typed { [wijk] in try await wijk.meeting(id: id) }
    }

    // MARK: What a screen follows

    /// Contributions as they are, and whenever they change.
    public nonisolated func contributionsStream(first: UInt32 = 0, count: UInt32 = 1000) -> Looking<[Contribution]> {
        Looking(notices: notices, id: nil) { [wijk] in try await wijk.contributions(first: first, count: count) }
    }

    /// One contribution with all that happened to it, as it is and whenever it changes; `nil` once it is gone.
    public nonisolated func timelineStream(id: String) -> Looking<Timeline?> {
        Looking(notices: notices, id: id) { [wijk] in try await found { try await wijk.timeline(id: id) } }
    }

    /// A meeting with its notes, as it is and whenever it changes; `nil` once it is gone.
    public nonisolated func meetingStream(id: String) -> Looking<Meeting?> {
        Looking(notices: notices, id: id) { [wijk] in try await found { try await wijk.meeting(id: id) } }
    }

    /// How this device and its server are, now and whenever that changes.
    public nonisolated var syncStates: AsyncStream<SyncState> {
        notices.states(now: wijk.syncState())
    }

    // MARK: Network

    /// Whether there is a network, as far as the system knows. An app that goes to the background says that there is none, once its
    /// last sync is done.
    public func setNetwork(available: Bool) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.setNetwork(available: available) }
    }

    /// Syncs now and returns when everything is sent, receipted and received: for a button, or for a background task.
    public func syncNow() async throws(WijkError) {
        try await typed { [wijk] in try await wijk.syncNow() }
    }

    /// Says who wakes the app for a sync while nobody looks at it, over BGTaskScheduler; `nil`: nobody does.
    public func setBackgroundSync(_ background: (any BackgroundSync)?) async throws(WijkError) {
        try await typed { [wijk] in try wijk.setBackgroundSync(background: background) }
    }

    /// Closes the folder in order; what is asked after it throws ``WijkError/Closed``.
    public func close() async throws(WijkError) {
        try await typed { [wijk] in try await wijk.end() }
        notices.finish()
    }
}

/// The core throws nothing but its own error; Swift's own cancellation is the only other thing.
func typed<Value: Sendable>(
    _ work: @Sendable () async throws -> Value
) async throws(WijkError) -> Value {
    do {
        return try await work()
    } catch let error as WijkError {
        throw error
    } catch {
        throw WijkError.Unexpected(detail: String(describing: error))
    }
}

/// Nothing, where there is nothing (any more).
private func found<Value: Sendable>(_ look: @Sendable () async throws -> Value) async throws -> Value? {
    do {
        return try await look()
    } catch WijkError.NotFound {
        return nil
    }
}
