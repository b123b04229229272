// Package auth proves who sent a request, and keeps nothing for those who have
// not proved it (trust.md §1).
//
//   - [Authenticator] checks digest credentials (RFC 7616, RFC 8760, RFC 3261
//     §22) and makes challenges. Nonces are signed, not stored; a nonce is
//     remembered only after a right answer to it, in a table of fixed size, and
//     may then be used again with a rising nonce count, so that a request costs
//     no extra round trip. Wrong answers are slowed by a sketch of fixed size.
//   - [Tokens] makes and verifies the tokens of Record-Route, by which a
//     request within a dialog finds the other end, and nobody else does.
//   - [Tags] makes the To tags of stateless responses (RFC 3261 §8.2.7).
//
// What it does not do: it sends nothing, decides no status text, and never
// blocks: a credential that is not in the cache is a [Missing] verdict, and
// [Authenticator.Load] is for a goroutine that may wait. It starts no
// goroutine. All of its types may be used by many goroutines.
package auth
