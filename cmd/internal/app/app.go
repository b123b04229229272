// Package app wires the daemon: it is the only place that knows every package,
// and it translates nothing.
package app
