package control

import "context"

// CheapHashes makes new hashes of s cost nearly nothing.
func CheapHashes(s *Server) { s.hasher = newHasher(cost{time: 1, memory: 64}) }

// Verify checks a password.
func Verify(s *Server, ctx context.Context, hash, password string) (bool, error) { //nolint:revive // the server first, as in a method
	return s.hasher.verify(ctx, hash, password)
}

// What tests outside of the package need of its inside.
var (
	HashOf     = hashOf
	MergePatch = mergePatch
	DecodeAny  = decodeAny
	CheckJSON  = checkJSON
)

// ImportColumns names the columns of an imported file.
func ImportColumns() (names []string) {
	for _, c := range columns() {
		names = append(names, c.name)
	}
	return names
}
