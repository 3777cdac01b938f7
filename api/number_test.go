package api

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringback/scheduler"
)

func TestNumber(t *testing.T) {
	for claim, tc := range map[string]struct {
		region, given, e164, wrong string
	}{
		"an international number stays":              {"", "+390612345678", "+390612345678", ""},
		"an Italian mobile stays":                    {"IT", "+393331234567", "+393331234567", ""},
		"spaces and brackets are taken out":          {"", "+44 (20) 7946-0958", "+442079460958", ""},
		"a national prefix inside is taken out":      {"", "+44 020 7946 0958", "+442079460958", ""},
		"a national number takes the region":         {"GB", "020 7946 0958", "+442079460958", ""},
		"national digits alone do, too":              {"GB", "02079460958", "+442079460958", ""},
		"a national number without a region is none": {"", "020 7946 0958", "", errNumber.Error()},
		"digits without a region are a dial string":  {"", "02079460958", "", ""},
		"an extension is a dial string":              {"GB", "101", "", ""},
		"a feature code is a dial string":            {"GB", "*67#1234567", "", ""},
		"digits no plan takes are a dial string":     {"GB", "123456789012345", "", ""},
		"an exit code is one of the region":          {"GB", "00390612345678", "+390612345678", ""},
		"too short":                                  {"", "+3906", "", errPossible.Error()},
		"too long":                                   {"", "+3906123456789012345", "", errPossible.Error()},
		"no country":                                 {"", "+99912345678", "", errNumber.Error()},
		"local digits cannot be dialled":             {"", "+15550123", "", errPossible.Error()},
		"words":                                      {"GB", "0800 FLOWERS", "", errNumber.Error()},
		"an extension behind it":                     {"GB", "020 7946 0958 x123", "", errNumber.Error()},
		"a SIP URI of a host that no trunk takes":    {"", "SIP:bob@example.org", "", errURI.Message},
		"a SIP URI of a host that a trunk takes":     {"", "SIP:bob@Example.com", "", ""},
		"a SIP URI with more in it":                  {"", "sip:bob@example.com;x=1", "", errURIForm.Message},
		"a SIP URI with a line break":                {"", "sip:bob@example.com\r\nX: 1", "", errURIForm.Message},
		"a SIPS URI":                                 {"", "sips:bob@example.com", "", errURIForm.Message},
		"one digit":                                  {"", "1", "", errNumber.Error()},
		"nothing but a plus":                         {"", "+", "", errNumber.Error()},
		"other digits":                               {"", "+٣٩٠٦١٢٣٤٥٦٧٨", "", errNumber.Error()},
	} {
		t.Run(claim, func(t *testing.T) {
			e164, err := newNumbers(tc.region, "example.com").destination(tc.given)
			wrong := ""
			if err != nil {
				wrong = err.Error()
			}
			if e164 != tc.e164 || wrong != tc.wrong {
				t.Errorf("%q: %q, %q; want %q, %q", tc.given, e164, wrong, tc.e164, tc.wrong)
			}
		})
	}
	if _, err := newNumbers("").destination("sip:a@b"); !errors.As(err, new(*scheduler.Error)) {
		t.Errorf("a SIP URI: %v has no status", err)
	}
	if _, err := newNumbers("", "b").parse("sip:a@b"); err == nil {
		t.Error("a SIP URI is taken as a caller number")
	}
}

// TestPlainNumbers holds the short way to the library: of every calling code,
// what it takes is what the library takes, and unchanged.
func TestPlainNumbers(t *testing.T) {
	n := newNumbers("")
	random := rand.New(rand.NewPCG(1, 2))
	var short, all int
	for code := range n.plans {
		for length := minE164 - len(code); length <= maxE164-len(code); length++ {
			for try := range 40 {
				given := "+" + code
				if try%4 == 0 {
					given += []string{"0", "1", "8", "06", "15", "9", "00", "10"}[random.IntN(8)]
				}
				for len(given) < 1+len(code)+length {
					given += fmt.Sprint(random.IntN(10))
				}
				if all++; !n.plain(given) {
					continue
				}
				short++
				if long, err := n.long(given); err != nil || long != given {
					t.Fatalf("%s: the library says %q, %v", given, long, err)
				}
			}
		}
	}
	if short < all/6 {
		t.Errorf("only %d of %d numbers take the short way", short, all)
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"", "+390612345678", "02079460958", "101", "*67#", "sip:a@b", "+44 020 7946 0958", "+1 (202) 555-0123", "00390612345678"} {
		f.Add(s)
	}
	gb, none := newNumbers("GB"), newNumbers("")
	f.Fuzz(func(t *testing.T, given string) {
		for _, n := range []*numbers{gb, none} {
			e164, err := n.parse(given)
			if e164 != "" && (err != nil || e164[0] != '+' || len(e164) > 16 || strings.Trim(e164[1:], "0123456789") != "") {
				t.Fatalf("%q reads %q, %v", given, e164, err)
			}
			if e164 == "" && err == nil && !dialString(given) {
				t.Fatalf("%q is taken as a dial string", given)
			}
		}
	})
}

func BenchmarkNumber(b *testing.B) {
	n := newNumbers("")
	for _, given := range []string{"+390612345678", "+442079460958", "+12025550123", "+5491123456789", "101"} {
		b.Run(given, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.parse(given); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
