package directory

// The names of rules that only settings break; those of calls are in routing.
const (
	RuleSyntax      = "syntax"            // no JSON, or the wrong type
	RuleUnknown     = "field.unknown"     // a field that does not exist
	RuleMissing     = "field.missing"     // a field that must be there
	RuleValue       = "field.value"       // a value outside of what is allowed
	RuleReadOnly    = "field.read-only"   // a field that never changes
	RuleName        = "name.syntax"       // a name that names nothing of its kind
	RuleTaken       = "name.taken"        // a name or number somebody has already
	RuleReference   = "reference.missing" // something that does not exist is named
	RuleInUse       = "reference.in-use"  // something else still names it
	RuleDevices     = "device.too-many"   // more than MaxDevices
	RuleLoop        = "forward.loop-refused"
	RuleExclusive   = "busy.exclusive"
	RuleTargetClass = "target.class"
	RuleRingTime    = "ring.time"
	RuleCallMe      = "callme.unusable"
	RuleSource      = "trunk.source"    // an address that proves nothing: too many have it, or another trunk does
	RuleRemotes     = "remote.too-many" // more than MaxRemotes

	RuleCode = "forward.authorization-code" // a number that needs an authorization code forwards

	RuleFeature    = "dial.feature"      // a code that means something else already, or cannot be one
	RuleService    = "dial.service"      // a service number that means something else already
	RuleEmergency  = "dial.emergency"    // a number by which one calls for help
	RuleSpeedDial  = "speed-dial.syntax" // neither a number nor one with digits behind it
	RuleAccessCode = "access-code"       // of a conference: 3 to 10 digits
	RuleHandset    = "handset.taken"     // a number is logged in at another handset
)
