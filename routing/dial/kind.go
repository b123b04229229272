package dial

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// KindOf sorts an E.164 number seen from the plan's region, by the numbering
// plan of its own. Numbers that cost more wherever they are called from are
// Premium, shared cost and personal numbers among them; what is in another
// region is International, also where it has the same country code. What no
// plan tells apart is National. Local depends on where one is: see [KindFrom].
func (p Plan) KindOf(e164 string) Kind {
	n := parse(e164)
	if n == nil {
		return International // nobody knows the country code
	}
	kind := phonenumbers.GetNumberType(n)
	if kind == phonenumbers.UNKNOWN {
		kind = nearest(n)
	}
	switch is := func(of ...phonenumbers.PhoneNumberType) bool { return slices.Contains(of, kind) }; {
	case is(phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.PERSONAL_NUMBER):
		return Premium
	case !p.domestic(n):
		return International
	case is(phonenumbers.MOBILE, phonenumbers.PAGER):
		return Mobile
	default:
		return National
	}
}

// domestic reports whether a number is of the plan's region. One that is of no
// region is of the first that has its country code.
func (p Plan) domestic(n *phonenumbers.PhoneNumber) bool {
	if strconv.Itoa(int(n.GetCountryCode())) != p.Country || p.Country == "" {
		return false
	}
	if len(phonenumbers.GetRegionCodesForCountryCode(int(n.GetCountryCode()))) == 1 {
		return true
	}
	region := phonenumbers.GetRegionCodeForNumber(n)
	return region == p.Region || region == ""
}

// nearest is the type of a number that is shorter or longer than numbers of its
// range are: that of the range, so that a premium number does not pass for
// another one with a digit more.
func nearest(n *phonenumbers.PhoneNumber) phonenumbers.PhoneNumberType {
	national := n.GetNationalNumber()
	longer, shorter := national, national
	for range maxAway {
		longer, shorter = longer*10+1, shorter/10
		for _, v := range [...]uint64{longer, shorter} {
			near := phonenumbers.PhoneNumber{CountryCode: n.CountryCode, NationalNumber: &v}
			if kind := phonenumbers.GetNumberType(&near); kind != phonenumbers.UNKNOWN {
				return kind
			}
		}
	}
	return phonenumbers.UNKNOWN
}

// maxAway is how many digits too few or too many a number may have to be taken
// for one of its range.
const maxAway = 4

// Area returns the beginning that the numbers of one place have in common, with
// the country code: "+4989"; "" for a number that is of no place.
func Area(e164 string) string {
	n := parse(e164)
	if n == nil {
		return ""
	}
	length := phonenumbers.GetLengthOfGeographicalAreaCode(n)
	country := strconv.Itoa(int(n.GetCountryCode()))
	if length == 0 || len(e164) < 1+len(country)+length {
		return ""
	}
	return e164[:1+len(country)+length]
}

// KindFrom is a kind as seen from a place (see [Area]): National is Local there.
func KindFrom(k Kind, e164, area string) Kind {
	if k == National && area != "" && strings.HasPrefix(e164, area) {
		return Local
	}
	return k
}

// parse takes an E.164 number in its kept form apart; nil: no country has its
// country code.
func parse(e164 string) *phonenumbers.PhoneNumber {
	if !IsE164(e164) {
		return nil
	}
	digits := e164[1:]
	for n := 1; n <= 3; n++ { // no country code begins another one (ITU-T E.164 §6.2.1)
		country, _ := strconv.Atoi(digits[:n])
		if phonenumbers.GetRegionCodesForCountryCode(country) == nil {
			continue
		}
		rest := digits[n:]
		national, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			return nil
		}
		code := int32(country)
		out := &phonenumbers.PhoneNumber{CountryCode: &code, NationalNumber: &national}
		if zeros := len(rest) - len(strings.TrimLeft(rest, "0")); zeros > 0 { // Italy
			zeros := int32(zeros)
			out.ItalianLeadingZero, out.NumberOfLeadingZeros = new(true), &zeros
		}
		return out
	}
	return nil
}
