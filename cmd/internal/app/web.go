package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// A web is one HTTP listener.
type web struct {
	ln      net.Listener
	handler http.Handler
	tls     *certificate // nil: plain
	log     *slog.Logger
}

// Times of an HTTP connection. Answers have no time limit: events are streams.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10 // bytes
)

// serve serves until ctx ends, then lets requests end for a while.
func (w *web) serve(ctx context.Context) error {
	srv := &http.Server{
		Handler: w.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(w.log.Handler(), slog.LevelDebug), // handshakes of strangers
		BaseContext: func(net.Listener) context.Context { return ctx },   // ends streams
	}
	ln := w.ln
	if w.tls != nil {
		ln = tls.NewListener(ln, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: w.tls.get, NextProtos: []string{"h2", "http/1.1"},
		})
	}
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() { failed <- srv.Serve(ln) })
	defer wg.Wait()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout/2)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return errors.Join(err, srv.Close())
	}
	return nil
}
