package dial

// regions is what the numbering plans of countries say about dialling (ITU-T
// Operational Bulletin: "Dialling procedures"). Mobile and premium ranges are
// given where the leading digits tell them.
var regions = []Plan{
	{Region: "AT", Country: "43", International: "00", National: "0", mobile: []string{"65", "66", "67", "68", "69"}, premium: []string{"90", "93"}},
	{Region: "AU", Country: "61", International: "0011", National: "0", mobile: []string{"4"}, premium: []string{"190"}},
	{Region: "BE", Country: "32", International: "00", National: "0", mobile: []string{"4"}, premium: []string{"90"}},
	{Region: "CA", Country: "1", International: "011", National: "1", premium: []string{"900"}, national: 10},
	{Region: "CH", Country: "41", International: "00", National: "0", mobile: []string{"74", "75", "76", "77", "78", "79"}, premium: []string{"90"}},
	{Region: "CZ", Country: "420", International: "00", mobile: []string{"60", "70", "72", "73", "77", "79"}, premium: []string{"90"}, national: 9},
	{Region: "DE", Country: "49", International: "00", National: "0", mobile: []string{"15", "16", "17"}, premium: []string{"900", "137", "180"}},
	{Region: "DK", Country: "45", International: "00", premium: []string{"90"}, national: 8},
	{Region: "ES", Country: "34", International: "00", mobile: []string{"6", "7"}, premium: []string{"80", "90"}, national: 9},
	{Region: "FI", Country: "358", International: "00", National: "0", mobile: []string{"4", "50"}, premium: []string{"600", "700"}},
	{Region: "FR", Country: "33", International: "00", National: "0", mobile: []string{"6", "7"}, premium: []string{"89"}, national: 9},
	{Region: "GB", Country: "44", International: "00", National: "0", mobile: []string{"71", "72", "73", "74", "75", "77", "78", "79"}, premium: []string{"9"}},
	{Region: "IE", Country: "353", International: "00", National: "0", mobile: []string{"8"}, premium: []string{"15"}},
	{Region: "IN", Country: "91", International: "00", National: "0", mobile: []string{"6", "7", "8", "9"}, premium: []string{"1900"}},
	{Region: "IT", Country: "39", International: "00", mobile: []string{"3"}, premium: []string{"89"}},
	{Region: "JP", Country: "81", International: "010", National: "0", mobile: []string{"70", "80", "90"}, premium: []string{"990"}},
	{Region: "LU", Country: "352", International: "00", mobile: []string{"6"}, premium: []string{"90"}},
	{Region: "NL", Country: "31", International: "00", National: "0", mobile: []string{"6"}, premium: []string{"90"}},
	{Region: "NO", Country: "47", International: "00", mobile: []string{"4", "9"}, premium: []string{"82"}, national: 8},
	{Region: "NZ", Country: "64", International: "00", National: "0", mobile: []string{"2"}, premium: []string{"900"}},
	{Region: "PL", Country: "48", International: "00", mobile: []string{"45", "5", "60", "66", "69", "72", "73", "78", "79", "88"}, premium: []string{"70"}, national: 9},
	{Region: "PT", Country: "351", International: "00", mobile: []string{"9"}, premium: []string{"6", "76"}, national: 9},
	{Region: "SE", Country: "46", International: "00", National: "0", mobile: []string{"7"}, premium: []string{"900", "939", "944"}},
	{Region: "US", Country: "1", International: "011", National: "1", premium: []string{"900"}, national: 10},
}
