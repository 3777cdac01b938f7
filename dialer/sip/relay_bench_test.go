package sip

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What every leg of a measured call sends: a packet of 20 ms of G.711.
const (
	talkHeader = 12
	talkBytes  = talkHeader + frameSamples
	talkFor    = 5 * time.Second
)

// talkersEnv makes the test binary play the far ends of so many calls.
const talkersEnv = "RINGBACK_TALKERS"

// BenchmarkRelay relays calls with sound both ways, more and more of them, and
// tells for each number our processor time for a second of a call and how much
// later than at best a packet arrived. The far ends are another process on the
// same processors.
func BenchmarkRelay(b *testing.B) {
	for _, calls := range []int{50, 100, 200, 300, 400} {
		b.Run(strconv.Itoa(calls), func(b *testing.B) {
			for b.Loop() {
				relayed(b, calls)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func relayed(b *testing.B, calls int) {
	talkers := exec.Command(os.Args[0], "-test.run", "^TestTalkers$")
	talkers.Env, talkers.Stderr = append(os.Environ(), fmt.Sprintf("%s=%d", talkersEnv, calls)), os.Stderr
	in, errIn := talkers.StdinPipe()
	out, errOut := talkers.StdoutPipe()
	if errIn != nil || errOut != nil {
		b.Fatal(errIn, errOut)
	}
	if err := talkers.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = talkers.Wait() }()
	defer in.Close()
	lines := bufio.NewScanner(out)
	ports := &ports{host: "127.0.0.1", low: 20000, high: 29998, next: 20000}
	for range calls {
		var legs [2]*media
		for i := range legs {
			m, err := newMedia(ports, loopback, []codec{pcma}, noDTMF)
			if err != nil {
				b.Fatal(err)
			}
			defer m.close()
			if !lines.Scan() {
				b.Fatal("the far ends are gone")
			}
			port, _ := strconv.Atoi(lines.Text())
			peer := local{addr: loopback, port: port, codecs: []codec{pcma}, dtmf: noDTMF, dir: sendRecv}
			if err := m.accept(peer.marshal()); err != nil {
				b.Fatal(err)
			}
			fmt.Fprintln(in, m.local.port)
			legs[i] = m
		}
		legs[0].hearsFrom(legs[1])
		legs[1].hearsFrom(legs[0])
	}
	before := spent(b)
	fmt.Fprintln(in, "talk")
	if !lines.Scan() {
		b.Fatal("the far ends are gone")
	}
	used := spent(b) - before
	var lost, late50, late99, jitter float64
	if _, err := fmt.Sscan(lines.Text(), &lost, &late50, &late99, &jitter); err != nil {
		b.Fatalf("%q: %v", lines.Text(), err)
	}
	b.ReportMetric(float64(used)/float64(time.Millisecond)/float64(calls)/talkFor.Seconds(), "cpu-ms/call-s")
	b.ReportMetric(lost, "%lost")
	b.ReportMetric(late50, "ms-late-p50")
	b.ReportMetric(late99, "ms-late-p99")
	b.ReportMetric(jitter, "ms-jitter")
}

func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestTalkers is the far ends of BenchmarkRelay, when that starts it.
func TestTalkers(t *testing.T) {
	calls, _ := strconv.Atoi(os.Getenv(talkersEnv))
	if calls == 0 {
		t.Skip("only for BenchmarkRelay")
	}
	if err := talk(2*calls, os.Stdin, os.Stdout); err != nil {
		t.Fatal(err)
	}
}

// talk says its ports, reads where each is to send, sends, and says what came
// of it: % lost, the median and the 99th percentile of how much later than the
// fastest packets came, and their mean jitter (RFC 3550, section 6.4.1), in ms.
func talk(n int, in io.Reader, out io.Writer) error {
	conns, to := make([]*net.UDPConn, n), make([]netip.AddrPort, n)
	lines := bufio.NewScanner(in)
	for i := range conns {
		var err error
		if conns[i], err = listenUDP("127.0.0.1", 0); err != nil {
			return err
		}
		fmt.Fprintln(out, conns[i].LocalAddr().(*net.UDPAddr).Port)
		if !lines.Scan() {
			return io.ErrUnexpectedEOF
		}
		port, _ := strconv.Atoi(lines.Text())
		to[i] = netip.AddrPortFrom(loopback, uint16(port))
	}
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "talk") {
		return io.ErrUnexpectedEOF
	}
	began := time.Now()
	took := make([][]time.Duration, n)
	var ears, mouths sync.WaitGroup
	for i, conn := range conns {
		ears.Go(func() { took[i] = hear(conn, began) })
		mouths.Go(func() {
			packet := make([]byte, talkBytes)
			packet[0], packet[1] = 0x80, pcma.payload
			next := began.Add(time.Duration(i) * frame / time.Duration(n))
			for seq := uint16(0); time.Since(began) < talkFor; seq++ {
				time.Sleep(time.Until(next))
				next = next.Add(frame)
				binary.BigEndian.PutUint16(packet[2:], seq)
				binary.BigEndian.PutUint64(packet[talkHeader:], uint64(time.Since(began)))
				_, _ = conn.WriteToUDPAddrPort(packet, to[i])
			}
		})
	}
	mouths.Wait()
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	}
	ears.Wait()
	var all []time.Duration
	var jitter float64
	for _, delays := range took {
		j := 0.0
		for k := 1; k < len(delays); k++ {
			j += (float64((delays[k] - delays[k-1]).Abs()) - j) / 16
		}
		jitter += j / float64(n)
		all = append(all, delays...)
	}
	if len(all) == 0 {
		return io.ErrUnexpectedEOF
	}
	slices.Sort(all)
	late := func(p int) float64 {
		return float64(all[(len(all)-1)*p/100]-all[0]) / float64(time.Millisecond)
	}
	sent := float64(n) * float64(talkFor/frame)
	_, err := fmt.Fprintf(out, "%.2f %.3f %.3f %.3f\n", max(0, 100*(1-float64(len(all))/sent)), late(50), late(99), jitter/float64(time.Millisecond))
	return err
}

// hear returns how long each packet took, until the socket's deadline.
func hear(conn *net.UDPConn, began time.Time) (took []time.Duration) {
	buf := make([]byte, maxDatagram)
	for {
		size, err := conn.Read(buf)
		if err != nil {
			return took
		}
		if size == talkBytes {
			took = append(took, time.Since(began)-time.Duration(binary.BigEndian.Uint64(buf[talkHeader:])))
		}
	}
}
