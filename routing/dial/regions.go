package dial

// region returns what the numbering plan of a country says about dialling
// (ITU-T Operational Bulletin: "Dialling procedures"). Mobile and premium ranges
// are given where the leading digits tell them.
func region(code string) (Plan, bool) {
	switch code {
	case "AT":
		return Plan{Region: code, Country: "43", International: "00", National: "0", mobile: []string{"65", "66", "67", "68", "69"}, premium: []string{"90", "93"}}, true
	case "AU":
		return Plan{Region: code, Country: "61", International: "0011", National: "0", mobile: []string{"4"}, premium: []string{"190"}}, true
	case "BE":
		return Plan{Region: code, Country: "32", International: "00", National: "0", mobile: []string{"4"}, premium: []string{"90"}}, true
	case "CA":
		return Plan{Region: code, Country: "1", International: "011", National: "1", premium: []string{"900"}, national: 10}, true
	case "CH":
		return Plan{Region: code, Country: "41", International: "00", National: "0", mobile: []string{"74", "75", "76", "77", "78", "79"}, premium: []string{"90"}}, true
	case "CZ":
		return Plan{Region: code, Country: "420", International: "00", mobile: []string{"60", "70", "72", "73", "77", "79"}, premium: []string{"90"}, national: 9}, true
	case "DE":
		return Plan{Region: code, Country: "49", International: "00", National: "0", mobile: []string{"15", "16", "17"}, premium: []string{"900", "137", "180"}}, true
	case "DK":
		return Plan{Region: code, Country: "45", International: "00", premium: []string{"90"}, national: 8}, true
	case "ES":
		return Plan{Region: code, Country: "34", International: "00", mobile: []string{"6", "7"}, premium: []string{"80", "90"}, national: 9}, true
	case "FI":
		return Plan{Region: code, Country: "358", International: "00", National: "0", mobile: []string{"4", "50"}, premium: []string{"600", "700"}}, true
	case "FR":
		return Plan{Region: code, Country: "33", International: "00", National: "0", mobile: []string{"6", "7"}, premium: []string{"89"}, national: 9}, true
	case "GB":
		return Plan{Region: code, Country: "44", International: "00", National: "0", mobile: []string{"71", "72", "73", "74", "75", "77", "78", "79"}, premium: []string{"9"}}, true
	case "IE":
		return Plan{Region: code, Country: "353", International: "00", National: "0", mobile: []string{"8"}, premium: []string{"15"}}, true
	case "IN":
		return Plan{Region: code, Country: "91", International: "00", National: "0", mobile: []string{"6", "7", "8", "9"}, premium: []string{"1900"}}, true
	case "IT":
		return Plan{Region: code, Country: "39", International: "00", mobile: []string{"3"}, premium: []string{"89"}}, true
	case "JP":
		return Plan{Region: code, Country: "81", International: "010", National: "0", mobile: []string{"70", "80", "90"}, premium: []string{"990"}}, true
	case "LU":
		return Plan{Region: code, Country: "352", International: "00", mobile: []string{"6"}, premium: []string{"90"}}, true
	case "NL":
		return Plan{Region: code, Country: "31", International: "00", National: "0", mobile: []string{"6"}, premium: []string{"90"}}, true
	case "NO":
		return Plan{Region: code, Country: "47", International: "00", mobile: []string{"4", "9"}, premium: []string{"82"}, national: 8}, true
	case "NZ":
		return Plan{Region: code, Country: "64", International: "00", National: "0", mobile: []string{"2"}, premium: []string{"900"}}, true
	case "PL":
		return Plan{Region: code, Country: "48", International: "00", mobile: []string{"45", "5", "60", "66", "69", "72", "73", "78", "79", "88"}, premium: []string{"70"}, national: 9}, true
	case "PT":
		return Plan{Region: code, Country: "351", International: "00", mobile: []string{"9"}, premium: []string{"6", "76"}, national: 9}, true
	case "SE":
		return Plan{Region: code, Country: "46", International: "00", National: "0", mobile: []string{"7"}, premium: []string{"900", "939", "944"}}, true
	case "US":
		return Plan{Region: code, Country: "1", International: "011", National: "1", premium: []string{"900"}, national: 10}, true
	default:
		return Plan{}, false
	}
}
