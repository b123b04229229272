package sip

import "bellhop/sip/b2bua"

// Offered is how often calls stand in a pickup group.
func (s *Server) Offered() int { return s.b2bua.Offered() }

// Served has f change what answers a code.
func (s *Server) Served(f func(*b2bua.Service)) { s.served = f }
