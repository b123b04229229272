package dial

import (
	"slices"
	"strings"
)

// A region is a row of the table of regions.
type region struct {
	code          string // ISO 3166-1 alpha-2
	country       string // country code
	international string // prefix
	national      string // prefix
	length        int    // of a national number, where it is always the same
	emergency     string // numbers, separated by blanks
}

func findRegion(code string) (*region, bool) {
	i, ok := slices.BinarySearchFunc(regions[:], code, func(r region, code string) int { return strings.Compare(r.code, code) })
	if !ok {
		return nil, false
	}
	return &regions[i], true
}

// EmergencyNumbers are the numbers by which one calls for help in a region,
// shortest first; of no region those that mobile networks know everywhere.
func EmergencyNumbers(code string) []string {
	r, ok := findRegion(code)
	if !ok || r.emergency == "" {
		return []string{"112", "911"}
	}
	return strings.Fields(r.emergency)
}
