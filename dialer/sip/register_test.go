package sip_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ringback/dialer"
	"ringback/dialer/sip"
)

func TestATrunkThatWantsItIsRegistered(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "registrar", nil)
	d := openTrunks(t, sip.Trunk{
		Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Register: true, Username: "acme", Password: "secret",
	})
	until(t, func() bool { return d.TrunkHealth("test") == nil })
	until(t, func() bool {
		return strings.Count(peer.Messages(), "SIP/2.0 200 OK") == 2
	})
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	peer.Wait()
}

func TestATrunkThatDoesNotRegisterUsIsDown(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "no_registrar", nil)
	d := openTrunks(t, sip.Trunk{
		Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Register: true, Username: "acme", Password: "secret",
	})
	if d.Originate(t.Context(), dialer.Originate{ID: "x", Trunk: "test", Number: number}, nil) == nil {
		t.Error("a trunk took a leg before it was registered")
	}
	until(t, func() bool {
		err := d.TrunkHealth("test")
		return err != nil && strings.Contains(err.Error(), "403 Forbidden")
	})
	peer.Wait()
}
