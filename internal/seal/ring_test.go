package seal

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	for _, story := range []struct {
		keys              [][]byte
		seals, takesClear bool
		sealedBy          []byte
	}{
		{list(), false, true, nil},
		{list(none), false, true, nil},
		{list([]byte{}), false, true, nil},
		{list(none, a), false, true, nil},
		{list(a), true, false, a},
		{list(a, none), true, true, a},
		{list(a, b), true, false, a},
		{list(b, a), true, false, b},
		{list(a, none, b), true, true, a},
		{list(b, c, none, a), true, true, b},
	} {
		r, who := ring(t, story.keys...), names(story.keys)
		if r.Seals() != story.seals || r.TakesClear() != story.takesClear {
			t.Errorf("%s should seal: %v, take clear text: %v, but it is %v, %v", who,
				story.seals, story.takesClear, r.Seals(), r.TakesClear())
		}
		for _, key := range list(a, b, c) {
			in := bytes.Equal(key, story.sealedBy)
			if story.seals {
				if _, ok := ring(t, key).Open(sealed(r, text(9), nil), nil); ok != in {
					t.Errorf("what %s seals should open with %s: %v, but it is %v", who, names(list(key)), in, ok)
				}
			}
			in = false
			for _, k := range story.keys {
				in = in || bytes.Equal(k, key)
			}
			if _, ok := r.Open(sealed(ring(t, key), text(9), nil), nil); ok != in {
				t.Errorf("%s should open what %s seals: %v, but it is %v", who, names(list(key)), in, ok)
			}
		}
	}
}

// Neighbours in each list of steps must understand each other, both ways. What
// lies further apart need not, and is pinned to show that no step is idle.
func TestKeysAreBroughtInAndReplacedStepByStep(t *testing.T) {
	for _, story := range []struct {
		what  string
		steps [4][][]byte
	}{
		{"the roll-out of a", [4][][]byte{list(none), list(none, a), list(a, none), list(a)}},
		{"the rotation of a to b", [4][][]byte{list(a), list(a, b), list(b, a), list(b)}},
		{"the withdrawal of a", [4][][]byte{list(a), list(a, none), list(none, a), list(none)}},
	} {
		heard := [4]string{ // by sender, then receiver
			"yyyn",
			"yyyn",
			"nyyy",
			"nyyy",
		}
		for i, from := range story.steps {
			for j, to := range story.steps {
				want := heard[i][j] == 'y'
				if got := understands(t, ring(t, to...), ring(t, from...)); got != want {
					t.Errorf("in %s, that %s understands %s should be %v, but is %v", story.what, names(to), names(from), want, got)
				}
			}
		}
	}
}

// understands sends a datagram from one ring to another, sealed or in clear as
// the rings say.
func understands(t *testing.T, to, from *Keyring) bool {
	t.Helper()
	if !from.Seals() {
		return to.TakesClear()
	}
	got, ok := to.Open(sealed(from, text(50), []byte("ad")), []byte("ad"))
	if ok && !bytes.Equal(got, text(50)) {
		t.Errorf("a datagram opened, but says %x and not %x", got, text(50))
	}
	return ok
}

// counted counts the attempts to open with a key.
type counted struct {
	cipher.AEAD
	attempts *int
}

func (k counted) Open(dst, nonce, b, ad []byte) ([]byte, error) {
	*k.attempts++
	return k.AEAD.Open(dst, nonce, b, ad)
}

func TestTheKeyThatOpenedLastIsTriedFirst(t *testing.T) {
	attempts := 0
	r := ring(t, a, none, b, c)
	for i, k := range r.keys {
		r.keys[i] = counted{k, &attempts}
	}
	foreign := bytes.Repeat([]byte{0xd4}, KeySize)
	for i, story := range []struct {
		key  []byte
		want int
	}{
		{a, 1}, {a, 1}, {c, 3}, {c, 1}, {foreign, 3}, {c, 1}, {a, 2}, {b, 2}, {foreign, 3}, {b, 1}, {a, 3},
	} {
		attempts = 0
		r.Open(sealed(ring(t, story.key), text(20), nil), nil)
		if attempts != story.want {
			t.Errorf("datagram %d, sealed by %s, should cost %d attempts, but cost %d", i, names(list(story.key)), story.want, attempts)
		}
	}
	attempts = 0
	if r.Open(make([]byte, Overhead-1), nil); attempts != 0 {
		t.Errorf("a datagram too short to be sealed should cost no attempt, but cost %d", attempts)
	}
}

func TestTheCallersKeysAreItsOwn(t *testing.T) {
	key, more := bytes.Clone(a), bytes.Clone(b)
	keys := list(key, more)
	r := ring(t, keys...)
	clear(key)
	clear(more)
	clear(keys)
	mustOpen(t, ring(t, a), sealed(r, text(9), nil), nil, text(9), "what a keyring sealed whose keys were overwritten")
	mustOpen(t, r, sealed(ring(t, b), text(9), nil), nil, text(9), "what came to a keyring whose keys were overwritten")
}

func TestBadRingsAreRefused(t *testing.T) {
	var many [][]byte
	for i := range MaxKeys {
		many = append(many, bytes.Repeat([]byte{byte(i)}, KeySize))
	}
	for _, story := range []struct {
		keys [][]byte
		says []string // none: the ring is good
	}{
		{many, nil},
		{append(list(none), many[1:]...), nil},
		{append(list(none), many...), []string{"9", "8"}},
		{append(many[:MaxKeys:MaxKeys], a), []string{"9", "8"}},
		{list(a[:31]), []string{"keys[0]", "31"}},
		{list(a, b[:1]), []string{"keys[1]", " 1 "}},
		{list(none, a, bytes.Repeat(b, 2)), []string{"keys[2]", "64"}},
		{list(a, a), []string{"keys[0]", "keys[1]"}},
		{list(c, a, none, b, bytes.Clone(a)), []string{"keys[1]", "keys[4]"}},
		{list(none, none), []string{"keys[0]", "keys[1]"}},
		{list([]byte{}, a, none), []string{"keys[0]", "keys[2]"}},
	} {
		r, err := New(story.keys, func() uint64 { return 1 })
		switch {
		case len(story.says) == 0 && (err != nil || r == nil):
			t.Errorf("%s should make a keyring, but: %v", names(story.keys), err)
		case len(story.says) > 0 && (err == nil || r != nil):
			t.Errorf("%s should make no ring", names(story.keys))
		}
		for _, s := range story.says {
			if err != nil && !strings.Contains(err.Error(), s) {
				t.Errorf("what is wrong with %s is told as %q, which should name %q", names(story.keys), err, s)
			}
		}
	}
	for size := range 100 {
		want := size == 0 || size == KeySize
		if _, err := New(list(a, make([]byte, size)), func() uint64 { return 1 }); (err == nil) != want {
			t.Errorf("that a key may have %d bytes should be %v, but the error is: %v", size, want, err)
		}
	}
}

// Errors end up in logs, and so may a keyring that somebody prints.
func TestKeysAreNeverPrinted(t *testing.T) {
	secret := []byte("\x93wk8\xf1ZqPv7\xc4mJx2\xe6TgB5\xa9nRd4\xd8LhC6\xb2y")[:KeySize]
	long := append(bytes.Clone(secret), secret...)
	var printed []string
	for _, keys := range [][][]byte{
		{secret, secret}, {none, secret, secret}, {secret[:31]}, {long}, {long[:33]}, {secret[:16]},
		{long[:1], long[1:2], long[2:3], secret, secret, secret, secret, secret, secret},
	} {
		_, err := New(keys, func() uint64 { return 1 })
		if err == nil {
			t.Fatalf("%s should make no ring", names(keys))
		}
		printed = append(printed, err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err))
	}
	r := ring(t, secret)
	printed = append(printed, fmt.Sprint(r), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r))
	for _, s := range printed {
		for i := range len(secret) - 3 {
			part := secret[i : i+4]
			for _, form := range []string{
				string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
				strings.Trim(fmt.Sprint(part), "[]"), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"),
				strings.Trim(fmt.Sprintf("%q", part), `"`), base64.StdEncoding.EncodeToString(part)[:5],
			} {
				if strings.Contains(s, form) {
					t.Errorf("%q gives away bytes %d to %d of a key", s, i, i+3)
				}
			}
		}
	}
}
