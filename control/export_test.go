package control

// What tests outside of the package need of its inside.
var (
	HashOf     = hashOf
	MergePatch = mergePatch
	DecodeAny  = decodeAny
	CheckJSON  = checkJSON
)
