package authos

// For the test that holds these against the source.
var (
	GoName       = goName
	ArgumentName = argumentName
)
