package sipptest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/dialer/dialertest"
)

// phoneRate is the sample rate of what a phone says and hears.
const phoneRate = 8000

var baresip = sync.OnceValues(func() (string, error) { return install("baresip", "baresip-core") })

// phoneConfig makes baresip say a file and keep what it hears.
const phoneConfig = `poll_method epoll
sip_listen ADDRESS
net_interface 127.0.0.1
audio_source aufile,TONE
audio_player aufile,DIR/none.wav
audio_path DIR
snd_path DIR
rtp_ports RTP
module_path MODULES
module_tmp account.so
module g711.so
module aufile.so
module sndfile.so
module_app menu.so
`

// Phone is a baresip that answers calls, says a tone and keeps what it hears.
type Phone struct {
	Addr netip.AddrPort // its SIP address, on loopback

	t     testing.TB
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
	said  bytes.Buffer
}

// StartPhone runs baresip (Debian package baresip-core) with a number, as
// digits, that says a tone of so many hertz to whoever calls it, until Stop or the end of the test.
func StartPhone(t testing.TB, number string, hertz float64) *Phone {
	t.Helper()
	program, dir := path(t, baresip), t.TempDir()
	modules, err := filepath.Glob("/usr/lib/*baresip/modules")
	if err != nil || len(modules) == 0 {
		t.Fatal("baresip has no modules")
	}
	port, media := FreePort(t), FreePort(t)
	p := &Phone{
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)), t: t, dir: dir, ended: make(chan struct{}),
	}
	config := strings.NewReplacer("ADDRESS", p.Addr.String(), "TONE", filepath.Join(dir, "tone.wav"), "DIR", dir,
		"RTP", fmt.Sprintf("%d-%d", media, media+3), "MODULES", modules[0]).Replace(phoneConfig)
	for name, content := range map[string][]byte{
		"config": []byte(config), "tone.wav": dialertest.Tone(hertz, 20*time.Second),
		"accounts": fmt.Appendf(nil, "<sip:%s@%s>;regint=0;answermode=auto;audio_codecs=PCMA/8000/1,PCMU/8000/1\n", number, p.Addr),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.cmd = exec.CommandContext(context.Background(), program, "-f", dir)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start baresip: %v", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.Stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(Limit); !listens(p.Addr.Port(), false); {
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("baresip does not start\n%s", p.said.String())
		case <-limit:
			t.Fatal("baresip does not listen")
		}
	}
	return p
}

// Stop ends the phone, so that its recording is complete.
func (p *Phone) Stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Listen waits until the phone, which is in a call, has heard so much more.
func (p *Phone) Listen(much time.Duration) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(Limit)
	for enough := p.recorded() + int64(2*phoneRate*much.Seconds()); p.recorded() < enough; {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("the phone at %s hears nothing", p.Addr)
		}
	}
}

// recorded is how long the phone's recording is, in bytes.
func (p *Phone) recorded() int64 {
	files, _ := filepath.Glob(filepath.Join(p.dir, "dump-*dec.wav"))
	if len(files) == 0 {
		return 0
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return 0
	}
	return info.Size()
}

// Said returns what the phone printed. Stop comes first.
func (p *Phone) Said() string { return p.said.String() }

// Heard returns the share of the power that the phone heard at a frequency in
// the last second of its recording. Stop comes first.
func (p *Phone) Heard(hertz float64) float64 {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "dump-*dec.wav"))
	if err != nil || len(files) != 1 {
		p.t.Fatalf("recordings %v %v\n%s", files, err, p.said.String())
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		p.t.Fatal(err)
	}
	samples := content[min(44, len(content)):] // after the WAV header
	if len(samples) < 2*phoneRate {
		p.t.Fatalf("only %d bytes were heard\n%s", len(samples), p.said.String())
	}
	samples = samples[(len(samples)-2*phoneRate)&^1:]
	var sine, cosine, power float64
	for i := range phoneRate {
		v := float64(int16(binary.LittleEndian.Uint16(samples[2*i:])))
		at := 2 * math.Pi * hertz * float64(i) / phoneRate
		sine, cosine, power = sine+v*math.Sin(at), cosine+v*math.Cos(at), power+v*v
	}
	if power == 0 {
		return 0
	}
	return 2 * (sine*sine + cosine*cosine) / (phoneRate * power)
}
