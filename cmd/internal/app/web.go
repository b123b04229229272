package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bellhop/config"
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

// A certificate is what the listener shows; a reload replaces it.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// readCertificate reads the pair that h names.
func readCertificate(h config.HTTPS) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(h.Cert, h.Key)
	if err != nil {
		return nil, fmt.Errorf("https.cert, https.key: %w", err)
	}
	return &pair, nil
}
