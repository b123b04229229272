package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"bellhop/config"
	"bellhop/control"
	"bellhop/store/redisstore"
)

// A reloaded is what became of a reload.
type reloaded struct {
	words   string
	at      time.Time
	refused bool
}

// Reload reads the configuration again, puts in force what can be, and says
// what that is and what waits for a restart. On an error the old one stays.
func (a *App) Reload(ctx context.Context) (control.ReloadReport, error) {
	report, err := a.tryReload()
	words := fmt.Sprintf("%s: applied %v, waiting %v", time.Now().UTC().Format(time.RFC3339), report.Applied, report.Waiting)
	if err != nil {
		words = fmt.Sprintf("%s: refused: %v", time.Now().UTC().Format(time.RFC3339), err)
		a.log.ErrorContext(ctx, "reload refused, the old configuration stays", slog.Any("err", err))
	} else {
		a.log.InfoContext(ctx, "reloaded", slog.Any("applied", report.Applied), slog.Any("waiting", report.Waiting))
	}
	a.reloaded.Store(&reloaded{words: words, at: time.Now().UTC(), refused: err != nil})
	a.reloads.WithLabelValues(map[bool]string{true: "applied", false: "refused"}[err == nil]).Inc()
	return report, err
}

func (a *App) tryReload() (control.ReloadReport, error) {
	if a.opts.Load == nil {
		return control.ReloadReport{}, errors.New("app: reload: there is no configuration file")
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	// All that can fail comes first.
	c, err := a.opts.Load()
	if err != nil {
		return control.ReloadReport{}, fmt.Errorf("app: reload: %w", err)
	}
	pairs, err := readCertificates(c)
	if err != nil {
		return control.ReloadReport{}, fmt.Errorf("app: reload: %w", err)
	}
	if err := a.keys.Reload(); err != nil {
		return control.ReloadReport{}, fmt.Errorf("app: reload: %w", err)
	}
	changes := config.Diff(a.conf, c)
	a.show(pairs) // the files may be new ones under the same names
	a.logging.base.Set(c.Log.Level)
	if d := a.logging.detail.Load(); d != nil && d.until.IsZero() {
		a.logging.detail.Store(nil) // a level without a time is good until now
	}
	a.drainTimeout.Store(int64(c.DrainTimeout))
	a.conf = applied(a.conf, c)
	return control.ReloadReport{Applied: changes.Applied, Waiting: changes.Waiting}, nil
}

// applied returns the configuration in force after a reload: what waits for a
// restart stays as it was, so that the next reload says so again.
func applied(old, next *config.Config) *config.Config {
	c := *old
	c.Log.Level = next.Log.Level
	c.DrainTimeout = next.DrainTimeout
	c.HTTPS.Cert, c.HTTPS.Key = next.HTTPS.Cert, next.HTTPS.Key
	c.SIP.TLS.Cert, c.SIP.TLS.Key = next.SIP.TLS.Cert, next.SIP.TLS.Key
	return &c
}

// Check looks at what a valid configuration names: whether the certificate can
// be used and the folders can be written to. It changes nothing.
func Check(c *config.Config) error {
	var errs []error
	_, err := readCertificates(c)
	errs = append(errs, err)
	for key, file := range map[string]string{"sip.tls.client_ca": c.SIP.TLS.ClientCA, "sip.tls.trunk_ca": c.SIP.TLS.TrunkCA} {
		_, err := readAuthorities(key, file)
		errs = append(errs, err)
	}
	for key, dir := range map[string]string{"store.dir": c.Store.Dir, "keys.dir": c.Keys.Dir} {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, os.ErrNotExist): // is made at the start
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		case !info.IsDir():
			errs = append(errs, fmt.Errorf("%s: %s is no folder", key, dir))
		case info.Mode().Perm()&0o077 != 0:
			errs = append(errs, fmt.Errorf("%s: %s can be read by others (mode %04o); make it 0700", key, dir, info.Mode().Perm()))
		}
	}
	if c.Store.URL != "" {
		_, err := openKeys(c)
		errs = append(errs, err)
	}
	if at := c.Store.Redis; !at.IsZero() {
		if err := redisstore.Check(at.Reveal()); err != nil {
			errs = append(errs, fmt.Errorf("store.redis: %w", err))
		}
	}
	return errors.Join(errs...)
}

// mkdir makes a folder for us alone; one that is there stays as it is.
func mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }
