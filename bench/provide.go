package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

type object = map[string]any

// provide gives those who are called settings: on the second server what
// -features asks for, on the third a forward that makes their calls anchored.
func (c *comparison) provide(ctx context.Context, servers []*server) error {
	if c.features {
		c.say("setting forwards, do not disturb and presence ...")
		if err := c.each(func(i int) error { return c.features10(ctx, servers[1].api, i) }); err != nil {
			return err
		}
	}
	if !c.anchored {
		return nil
	}
	c.say("setting a forward by no answer for everybody ...")
	return c.each(func(i int) error {
		return c.forward(ctx, servers[2].api, i, object{"no_answer": both(true, c.called((i+1)%c.users))})
	})
}

// each calls f for everybody who is called, by index.
func (c *comparison) each(f func(i int) error) error {
	for i := range c.users {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// called is the number of somebody who is called.
func (c *comparison) called(i int) int { return firstNumber + c.callers + i }

func both(enabled bool, target int) object {
	return object{"both": object{"enabled": enabled, "target": strconv.Itoa(target)}}
}

func (c *comparison) forward(ctx context.Context, a *api, i int, forwarding object) error {
	return a.do(ctx, http.MethodPut, fmt.Sprintf("/v1/domains/%s/numbers/%d/forwarding", domain, c.called(i)), forwarding, nil)
}

// features10 sets what one in ten has: one forwards all calls, one has do not
// disturb with the ringer off, one is on vacation and forwards then, and seven
// have forwards that are switched off.
func (c *comparison) features10(ctx context.Context, a *api, i int) error {
	next := c.called(min(i+5, c.users-1)) // one of the seven, but for the last few
	err := c.forward(ctx, a, i, object{
		"all": both(i%10 == 0 && next != c.called(i), next), "busy": both(false, next), "no_answer": both(false, next),
	})
	if err != nil {
		return err
	}
	user := fmt.Sprintf("/v1/domains/%s/users/user-%d", domain, c.called(i))
	switch i % 10 {
	case 1:
		return a.do(ctx, http.MethodPut, user+"/dnd", object{"enabled": true, "mode": "ringer-off"}, nil)
	case 2:
		err := a.do(ctx, http.MethodPut, user+"/presence", object{"status": "vacation"}, nil)
		return errors.Join(err, a.do(ctx, http.MethodPut, user+"/presence/forwarding", object{"vacation": object{"target": strconv.Itoa(next)}}, nil))
	default:
		return nil
	}
}
