// Package control is the HTTP API: JSON under /v1, events, health and metrics.
// It sees the daemon only through the small interfaces it declares
// (interfaces.go), which the store and the SIP shell implement as they are.
//
// One table of endpoints is both what the router serves and what the OpenAPI
// document and the docs page are made from; of huma we use the OpenAPI model
// and the schemas of Go types. Documents of every kind go through one resource
// handler: reading, replacing, patching, conditions, history and restore are
// written once.
//
// [Server.Run] owns the only goroutines: the drain of the feed and the clean-up
// of sign-ins.
package control
