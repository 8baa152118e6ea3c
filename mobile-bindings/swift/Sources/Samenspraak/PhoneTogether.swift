import Foundation

/// Secret polls, moderation and closed circles.
extension Phone {
    // MARK: Secret polls

    /// Answers a question, which is a contribution, in secret. The last answer counts; ``Voice/withdrawn`` takes it back.
    public func ballot(id: String, voice: Voice) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.ballot(id: id, voice: voice) }
    }

    /// Has the server count the secret answers to a question and publish what ten people or more gave (staff).
    public func askCount(id: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.askCount(id: id) }
    }

    /// One's own secret answer to a question, and the newest count.
    public func poll(id: String) async throws(WijkError) -> Poll {
        try await typed { [wijk] in try await wijk.poll(id: id) }
    }

    // MARK: Moderation

    /// Tells the board that something is illegal or harmful; the server isn't told from whom.
    public func notice(id: String, text: String) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.notice(id: id, text: text) }
    }

    /// Tells the board that a ruling isn't right.
    public func appeal(ruling: String, text: String) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.appeal(ruling: ruling, text: text) }
    }

    /// Notices and appeals, for the board; nothing on devices of others.
    public func notices() async throws(WijkError) -> [Notice] {
        try await typed { [wijk] in try await wijk.notices() }
    }

    /// Rules on a contribution or a meeting (staff): hides it for everybody but its author, or says that it may be seen.
    public func rule(
        id: String, hide: Bool, ground: String, reason: String, answers: String? = nil
    ) async throws(WijkError) {
        try await typed { [wijk] in
            try await wijk.rule(id: id, hide: hide, ground: ground, reason: reason, answers: answers)
        }
    }

    /// Rulings on one contribution, for its author and staff; nothing for others.
    public func rulings(on id: String) async throws(WijkError) -> [Ruling] {
        try await typed { [wijk] in try await wijk.rulingsOn(id: id) }
    }

    /// Everything that was ruled on, hidden words included, for staff.
    public func ruled() async throws(WijkError) -> [Ruled] {
        try await typed { [wijk] in try await wijk.ruled() }
    }

    /// Signs for the erasure of somebody else's words, with the legal ground (administrators and board).
    public func erase(id: String, ground: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.eraseByGround(id: id, ground: ground) }
    }

    /// Erasures with a legal ground: those that wait for a signature, and those done.
    public func erasuresByGround() async throws(WijkError) -> [GroundedErasure] {
        try await typed { [wijk] in try await wijk.erasuresByGround() }
    }

    // MARK: Circles

    /// Begins a closed circle, as its facilitator (facilitators). Returns its id.
    public func newCircle() async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.newCircle() }
    }

    /// Makes cards for a circle (its facilitator): the texts that QR codes hold.
    public func invite(toCircle circle: String, count: UInt32) async throws(WijkError) -> [String] {
        try await typed { [wijk] in try await wijk.inviteToCircle(circle: circle, count: count) }
    }

    /// Comes into a circle with a card. Works without a network. Returns the circle's id.
    public func joinCircle(card: String) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.joinCircle(card: card) }
    }

    /// The circles this device is in, or wants to be in.
    public func circles() async throws(WijkError) -> [String] {
        try await typed { [wijk] in try await wijk.circles() }
    }

    /// Writes a note that only the circle can read. Returns its id.
    public func write(inCircle circle: String, text: String) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.writeInCircle(circle: circle, text: text) }
    }

    /// Sends a circle something that only it can read; nobody is told from whom. Returns its id.
    public func seal(forCircle circle: String, _ content: Content) async throws(WijkError) -> String {
        try await typed { [wijk] in try await wijk.sealForCircle(circle: circle, content: content) }
    }

    /// What was written in a circle, and what was sent to it.
    public func texts(ofCircle circle: String) async throws(WijkError) -> [SealedStory] {
        try await typed { [wijk] in try await wijk.circleTexts(circle: circle) }
    }

    /// Who is in a circle: keys, and no names.
    public func members(ofCircle circle: String) async throws(WijkError) -> [CircleMember] {
        try await typed { [wijk] in try await wijk.circleMembers(circle: circle) }
    }

    /// Takes somebody out of a circle (its facilitator): what comes after can't be read with that key.
    public func remove(key: String, fromCircle circle: String) async throws(WijkError) {
        try await typed { [wijk] in try await wijk.removeFromCircle(circle: circle, key: key) }
    }
}
