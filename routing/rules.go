package routing

// The rules that decisions name. Those of package ring's machine (ring.silent,
// ring.clock, ...) leave no entry here: they are what happens, not why.
const (
	OriginDenied RuleName = "origin.denied"

	DialNumber  RuleName = "dial.number"
	DialUser    RuleName = "dial.user"
	DialDevice  RuleName = "dial.device"
	DialGroup   RuleName = "dial.group"
	DialContact RuleName = "dial.contact" // a GRUU or a registered Contact: one phone alone
	DialUnknown RuleName = "dial.unknown"
	DialTrunk   RuleName = "dial.trunk"

	DialFeature   RuleName = "dial.feature"   // a code: the call does something
	DialService   RuleName = "dial.service"   // the number of a service
	DialEmergency RuleName = "dial.emergency" // for help; Value [CallBack]: a call back gets through
	NumberState   RuleName = "number.state"   // a number that is not active makes emergency calls only

	ClassOfService RuleName = "class-of-service"
	TargetClass    RuleName = "target.class"

	// AuthorizationCode says that a number may call outside with a code only, which
	// nothing can ask for yet.
	AuthorizationCode RuleName = "authorization-code"

	ForwardAll          RuleName = "forward.all"
	ForwardBusy         RuleName = "forward.busy"
	ForwardNoAnswer     RuleName = "forward.no-answer"
	ForwardUnreachable  RuleName = "forward.unreachable"
	ForwardOverride     RuleName = "forward.override"
	ForwardLoopBreakout RuleName = "forward.loop-breakout"
	ForwardTooMany      RuleName = "forward.too-many"
	ForwardExternalLoop RuleName = "forward.external-loop"
	DeviceRedirect      RuleName = "device.redirect"

	CallMe         RuleName = "callme"
	CallMeUnusable RuleName = "callme.unusable"

	LimitCalls    RuleName = "limit.calls"
	LimitAttempts RuleName = "limit.attempts"
	LimitMinutes  RuleName = "limit.minutes"

	SNR         RuleName = "snr"           // a remote destination rings too
	SNRSchedule RuleName = "snr.schedule"  // not at this time
	SNRCallers  RuleName = "snr.callers"   // not for this caller
	SNRTooSoon  RuleName = "snr.too-soon"  // needs media
	SNRScreened RuleName = "snr.screened"  // needs media
	SNRRingTime RuleName = "snr.ring-time" // the ring time ends before the destination had its own

	// SNRInbound says that a call comes from the remote destination of a user, by
	// a trunk whose caller ids are true: it shows as the user's. Nothing else
	// follows from it.
	SNRInbound RuleName = "snr.inbound"

	GroupMember   RuleName = "group.member"    // a member of a hunt group rings
	GroupSkipped  RuleName = "group.skipped"   // one does not; the entry's Value says why
	GroupOverflow RuleName = "group.overflow"  // no member took the call
	GroupRingTime RuleName = "group.ring-time" // its members need longer than a call may ring

	PresenceForward RuleName = "presence.forward"
	DND             RuleName = "dnd"
	Busy            RuleName = "busy"
	Voicemail       RuleName = "voicemail"

	RingDevices RuleName = "ring.devices"
	RingOnce    RuleName = "ring.once" // a number is rung at most once in a call
	RingFinal   RuleName = "ring.final"

	// RingElsewhere says that a device is registered at another node, whose number
	// is the entry's Value. Over a connection of that node it is not rung from here;
	// a request over UDP is tried, and fails at once where this node has not the
	// address that the device registered at.
	RingElsewhere RuleName = "ring.elsewhere"

	// CallAnchored says that the call cannot be proxied; the entry's Value is the
	// reason: a forward.* rule, CallMe, SNR, DialTrunk, or one of these.
	CallAnchored    RuleName = "call.anchored"
	AnchorCallerNAT RuleName = "anchor.caller-nat"
	AnchorCalleeNAT RuleName = "anchor.callee-nat"
	AnchorCallerID  RuleName = "anchor.caller-id"
	AnchorDomain    RuleName = "anchor.domain" // an end outside the domain
	AnchorPickup    RuleName = "anchor.pickup" // others may pick the call up
)

// Rules lists every rule that a decision can name in its trace.
func Rules() []RuleName {
	return []RuleName{
		OriginDenied, DialNumber, DialUser, DialDevice, DialGroup, DialContact, DialUnknown, DialTrunk,
		DialFeature, DialService, DialEmergency, NumberState,
		ClassOfService, TargetClass, AuthorizationCode, ForwardAll, ForwardBusy, ForwardNoAnswer,
		ForwardUnreachable, ForwardOverride, ForwardLoopBreakout, ForwardTooMany,
		ForwardExternalLoop, DeviceRedirect, CallMe, CallMeUnusable, LimitCalls,
		LimitAttempts, LimitMinutes, SNR, SNRSchedule, SNRCallers, SNRTooSoon,
		SNRScreened, SNRRingTime, SNRInbound,
		GroupMember, GroupSkipped, GroupOverflow, GroupRingTime,
		PresenceForward, DND, Busy, Voicemail, RingDevices, RingOnce, RingFinal, RingElsewhere,
		CallAnchored,
	}
}
