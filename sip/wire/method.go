package wire

// A Method is a request method. Methods are case-sensitive (RFC 3261 §7.1).
type Method uint8

// The methods with a meaning here. Any other is Unknown: read it with
// [Message.MethodBytes].
const (
	Unknown Method = iota
	Invite
	Ack
	Cancel
	Bye
	Register
	Options
	MethodMessage // RFC 3428; not Message, which is the type
	Subscribe
	Notify
	Info
	Prack
	Update
	Refer
	Publish
)

var methodNames = [...]string{
	Unknown: "", Invite: "INVITE", Ack: "ACK", Cancel: "CANCEL", Bye: "BYE", Register: "REGISTER",
	Options: "OPTIONS", MethodMessage: "MESSAGE", Subscribe: "SUBSCRIBE", Notify: "NOTIFY",
	Info: "INFO", Prack: "PRACK", Update: "UPDATE", Refer: "REFER", Publish: "PUBLISH",
}

// String returns the method as it is written, and "" for Unknown.
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return ""
}

// ParseMethod returns the method written as b, or Unknown.
func ParseMethod(b []byte) Method {
	switch string(b) {
	case "INVITE":
		return Invite
	case "ACK":
		return Ack
	case "CANCEL":
		return Cancel
	case "BYE":
		return Bye
	case "REGISTER":
		return Register
	case "OPTIONS":
		return Options
	case "MESSAGE":
		return MethodMessage
	case "SUBSCRIBE":
		return Subscribe
	case "NOTIFY":
		return Notify
	case "INFO":
		return Info
	case "PRACK":
		return Prack
	case "UPDATE":
		return Update
	case "REFER":
		return Refer
	case "PUBLISH":
		return Publish
	default:
		return Unknown
	}
}
