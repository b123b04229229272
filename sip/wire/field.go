package wire

// A Field is the name of a header field, compact forms and case folded.
type Field uint8

// The fields known by number. Any other is Other: find it with
// [Message.Named].
const (
	Other Field = iota
	Via
	From
	To
	CallID
	CSeq
	Contact
	MaxForwards
	Route
	RecordRoute
	ContentLength
	ContentType
	ContentEncoding
	ContentDisposition
	ContentLanguage
	Expires
	MinExpires
	Supported
	Unsupported
	Require
	ProxyRequire
	Allow
	AllowEvents
	Accept
	Authorization
	ProxyAuthorization
	WWWAuthenticate
	ProxyAuthenticate
	AuthenticationInfo
	Path
	ServiceRoute
	Event
	SubscriptionState
	ReferTo
	ReferredBy
	Replaces
	TargetDialog
	Reason
	Diversion
	HistoryInfo
	AlertInfo
	CallInfo
	AnswerMode
	PrivAnswerMode
	PAssertedIdentity
	PPreferredIdentity
	PAssociatedURI
	RemotePartyID
	Privacy
	Identity
	Geolocation
	UserAgent
	Server
	Date
	Timestamp
	Subject
	Priority
	Warning
	RetryAfter
	MaxBreadth
	SessionExpires
	MinSE
	RSeq
	RAck
	SIPETag
	SIPIfMatch
	MIMEVersion
	fieldCount
)

// fieldInfo is what the index must know of a field.
type fieldInfo struct {
	name    string
	compact byte // RFC 3261 §7.3.3 and the registry; 0: none
	list    bool // values may be joined by commas (RFC 3261 §7.3.1)
}

var fields = [fieldCount]fieldInfo{
	Via:                {"Via", 'v', true},
	From:               {"From", 'f', false},
	To:                 {"To", 't', false},
	CallID:             {"Call-ID", 'i', false},
	CSeq:               {"CSeq", 0, false},
	Contact:            {"Contact", 'm', true},
	MaxForwards:        {"Max-Forwards", 0, false},
	Route:              {"Route", 0, true},
	RecordRoute:        {"Record-Route", 0, true},
	ContentLength:      {"Content-Length", 'l', false},
	ContentType:        {"Content-Type", 'c', false},
	ContentEncoding:    {"Content-Encoding", 'e', true},
	ContentDisposition: {"Content-Disposition", 0, false},
	ContentLanguage:    {"Content-Language", 0, true},
	Expires:            {"Expires", 0, false},
	MinExpires:         {"Min-Expires", 0, false},
	Supported:          {"Supported", 'k', true},
	Unsupported:        {"Unsupported", 0, true},
	Require:            {"Require", 0, true},
	ProxyRequire:       {"Proxy-Require", 0, true},
	Allow:              {"Allow", 0, true},
	AllowEvents:        {"Allow-Events", 'u', true},
	Accept:             {"Accept", 0, true},
	// Commas in these part the parameters of one value.
	Authorization:      {"Authorization", 0, false},
	ProxyAuthorization: {"Proxy-Authorization", 0, false},
	WWWAuthenticate:    {"WWW-Authenticate", 0, false},
	ProxyAuthenticate:  {"Proxy-Authenticate", 0, false},
	AuthenticationInfo: {"Authentication-Info", 0, false},
	Path:               {"Path", 0, true},
	ServiceRoute:       {"Service-Route", 0, true},
	Event:              {"Event", 'o', false},
	SubscriptionState:  {"Subscription-State", 0, false},
	ReferTo:            {"Refer-To", 'r', false},
	ReferredBy:         {"Referred-By", 'b', false},
	Replaces:           {"Replaces", 0, false},
	TargetDialog:       {"Target-Dialog", 0, false},
	Reason:             {"Reason", 0, true},
	Diversion:          {"Diversion", 0, true},
	HistoryInfo:        {"History-Info", 0, true},
	AlertInfo:          {"Alert-Info", 0, true},
	CallInfo:           {"Call-Info", 0, true},
	AnswerMode:         {"Answer-Mode", 0, false},
	PrivAnswerMode:     {"Priv-Answer-Mode", 0, false},
	PAssertedIdentity:  {"P-Asserted-Identity", 0, true},
	PPreferredIdentity: {"P-Preferred-Identity", 0, true},
	PAssociatedURI:     {"P-Associated-URI", 0, true},
	RemotePartyID:      {"Remote-Party-ID", 0, true},
	Privacy:            {"Privacy", 0, false}, // its values are parted by semicolons
	Identity:           {"Identity", 'y', true},
	Geolocation:        {"Geolocation", 0, true},
	UserAgent:          {"User-Agent", 0, false},
	Server:             {"Server", 0, false},
	Date:               {"Date", 0, false}, // has a comma of its own
	Timestamp:          {"Timestamp", 0, false},
	Subject:            {"Subject", 's', false},
	Priority:           {"Priority", 0, false},
	Warning:            {"Warning", 0, true},
	RetryAfter:         {"Retry-After", 0, false},
	MaxBreadth:         {"Max-Breadth", 0, false},
	SessionExpires:     {"Session-Expires", 'x', false},
	MinSE:              {"Min-SE", 0, false},
	RSeq:               {"RSeq", 0, false},
	RAck:               {"RAck", 0, false},
	SIPETag:            {"SIP-ETag", 0, false},
	SIPIfMatch:         {"SIP-If-Match", 0, false},
	MIMEVersion:        {"MIME-Version", 0, false},
}

// String returns the field's name in its long form, and "" for Other.
func (f Field) String() string {
	if f < fieldCount {
		return fields[f].name
	}
	return ""
}

// fieldTable is a hash table of the long names, open addressing; compactTable
// finds the one-letter names.
var (
	fieldTable   = hashFields()
	compactTable = compactFields()
)

func hashName[T []byte | string](name T) uint8 {
	n := len(name)
	return uint8(n)*7 + lower(name[0])*31 + lower(name[n-1])*3 + lower(name[n/2])*13
}

func hashFields() (t [256]Field) {
	for f := Other + 1; f < fieldCount; f++ {
		h := hashName(fields[f].name)
		for t[h] != Other {
			h++
		}
		t[h] = f
	}
	return t
}

func compactFields() (t [256]Field) {
	for f, info := range fields {
		if c := info.compact; c != 0 {
			t[c], t[c-32] = Field(f), Field(f)
		}
	}
	return t
}

// ParseField returns the field named name, in long or compact form and any
// case, or Other.
func ParseField[T []byte | string](name T) Field {
	switch len(name) {
	case 0:
		return Other
	case 1:
		return compactTable[name[0]]
	}
	for h := hashName(name); ; h++ {
		f := fieldTable[h]
		if f == Other || fold(fields[f].name, name) {
			return f
		}
	}
}
