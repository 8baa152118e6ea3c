import Foundation
import Security

/// Keeps the key that opens a device's folder in the Keychain: on this device alone, readable since it was first unlocked, so that a
/// sync in the background can open the folder.
public final class KeychainVault: KeyVault, @unchecked Sendable {
    private let service: String

    /// - Parameter service: One name for each folder: a key belongs to one folder.
    public init(service: String) {
        self.service = service
    }

    public func key(name: String) throws -> Data? {
        var query = place(name: name)
        query[kSecReturnData as String] = true
        query[kSecMatchLimit as String] = kSecMatchLimitOne
        var found: CFTypeRef?
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        switch status {
        case errSecSuccess:
            guard let key = found as? Data else {
                throw KeyVaultError.Failed(reason: "the Keychain gave something that is no key")
            }
            return key
        case errSecItemNotFound:
            return nil
        default:
            throw problem(status: status)
        }
    }

    public func keep(name: String, key: Data) throws {
        var item = place(name: name)
        item[kSecValueData as String] = key
        item[kSecAttrAccessible as String] = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly
        let status = SecItemAdd(item as CFDictionary, nil)
        switch status {
        case errSecSuccess:
            return
        case errSecDuplicateItem:
            // Never another key in the place of one: words would be lost.
            guard try self.key(name: name) == key else {
                throw KeyVaultError.Taken
            }
        default:
            throw problem(status: status)
        }
    }

    private func place(name: String) -> [String: Any] {
        [
            kSecClass as String: kSecClassGenericPassword,
            kSecAttrService as String: service,
            kSecAttrAccount as String: name,
        ]
    }

    /// A device that wasn't unlocked yet has the key and can't give it: that must never look as if there were none.
    private func problem(status: OSStatus) -> KeyVaultError {
        switch status {
        case errSecInteractionNotAllowed:
            return KeyVaultError.Locked
        default:
            let words = SecCopyErrorMessageString(status, nil) as String?
            return KeyVaultError.Failed(reason: "\(words ?? "the Keychain refused") (\(status))")
        }
    }
}
