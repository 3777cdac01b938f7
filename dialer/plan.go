package dialer

import (
	"fmt"
	"slices"
	"strings"
)

// numbers is a class of numbers that the same trunks take: those of a prefix
// that no longer prefix has, all others, or dial strings.
type numbers struct {
	prefix   string // "": all others
	internal bool
}

func (n numbers) String() string {
	switch {
	case n.internal:
		return "dial strings such as 101"
	case n.prefix == "":
		return "numbers without a prefix of their own"
	}
	return "numbers with " + n.prefix
}

// takesAll reports whether a trunk takes the numbers of a class.
func (t Trunk) takesAll(n numbers) bool {
	if n.internal {
		return t.Internal
	}
	return len(t.Prefixes) == 0 || slices.ContainsFunc(t.Prefixes, func(p string) bool { return strings.HasPrefix(n.prefix, p) })
}

// checkPlan finds numbers that can be called, and not be connected: those of
// one side are taken by drivers that do not take those of the other.
func checkPlan(trunks []Trunk) []error {
	var classes []numbers
	for _, t := range trunks {
		own := []numbers{{}}
		if len(t.Prefixes) > 0 {
			own = nil
		}
		for _, p := range t.Prefixes {
			own = append(own, numbers{prefix: p})
		}
		if t.Internal {
			own = append(own, numbers{internal: true})
		}
		for _, n := range own {
			if !slices.Contains(classes, n) {
				classes = append(classes, n)
			}
		}
	}
	var faults []error
	for i, x := range classes {
		for _, y := range classes[:i] {
			if tx, ty, ok := apart(trunks, x, y); ok {
				faults = append(faults, fmt.Errorf(
					"%s go by trunk %s and %s by trunk %s, and a call between them could not be connected: "+
						"sound is joined only between sip trunks, or on one asterisk; let one of the two take both", y, ty, x, tx))
			}
		}
	}
	return faults
}

// apart returns a trunk for each of two classes of numbers if no driver takes
// both.
func apart(trunks []Trunk, x, y numbers) (nameX, nameY string, ok bool) {
	for _, tx := range trunks {
		if !tx.takesAll(x) {
			continue
		}
		nameX = tx.Name
		for _, ty := range trunks {
			if !ty.takesAll(y) {
				continue
			}
			if nameY = ty.Name; ty.Driver == tx.Driver {
				return "", "", false
			}
		}
	}
	return nameX, nameY, nameX != "" && nameY != ""
}
