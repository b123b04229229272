package sip

import "bellhop/sip/b2bua"

// Served has f change what answers a code.
func (s *Server) Served(f func(*b2bua.Service)) { s.served = f }
