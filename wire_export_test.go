package authos

// NewTransportForTest is the transport of a client that was given none.
var NewTransportForTest = newTransport
