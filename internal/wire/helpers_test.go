package wire

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// A plain message says what a message says in a form that can be compared and
// printed: nothing in it aliases bytes, and what is empty is nil.
type plain interface {
	kind() Type
	appendTo(b []byte) []byte
}

type (
	plainHello struct {
		Version uint16
		Size    uint16
		Token   uint64
		From    Member
		Cluster text
	}
	plainWelcome Welcome
	plainList    struct {
		News    bool
		Lost    bool
		Members []Member
	}
	plainAck struct {
		Refused bool
		Runs    []AckRun
	}
	plainData struct {
		Origin      uint64
		Counter     uint32
		Flags, Hops uint8
		Lo, Hi      uint32
		Payload     text
	}
	plainStatus struct {
		Mode        Mode
		Mark, After uint64
		Records     []plainRecord
	}
	plainRecord struct {
		Origin uint64
		Floor  uint32
		Runs   []Run
	}
	plainLeave uint64
)

// text is printed in quotes, for it may hold any bytes.
type text string

func (s text) String() string { return strconv.Quote(string(s)) }

func (plainHello) kind() Type   { return TypeHello }
func (plainWelcome) kind() Type { return TypeWelcome }
func (plainList) kind() Type    { return TypeMemberList }
func (plainAck) kind() Type     { return TypeAck }
func (plainData) kind() Type    { return TypeData }
func (plainStatus) kind() Type  { return TypeStatus }
func (plainLeave) kind() Type   { return TypeLeave }

func (p plainHello) appendTo(b []byte) []byte {
	return Hello{p.Version, p.Size, p.Token, p.From, []byte(p.Cluster)}.AppendTo(b)
}

func (p plainWelcome) appendTo(b []byte) []byte { return Welcome(p).AppendTo(b) }

func (p plainList) appendTo(b []byte) []byte {
	w := WriteList(nil, 0)
	if p.News {
		w = WriteList(nil, News)
	} else if p.Lost {
		w = WriteList(nil, Lost)
	}
	for _, x := range p.Members {
		w.Add(x, math.MaxInt)
	}
	return append(b, w.Body()...)
}

func (p plainAck) appendTo(b []byte) []byte { return AppendAck(b, p.Runs, p.Refused) }

func (p plainData) appendTo(b []byte) []byte {
	return Data{p.Origin, p.Counter, p.Flags, p.Hops, p.Lo, p.Hi, []byte(p.Payload)}.AppendTo(b)
}

func (p plainStatus) appendTo(b []byte) []byte {
	m := Status{Mode: p.Mode, Mark: p.Mark, After: p.After}
	for _, r := range p.Records {
		m.Digest.Add(r.Origin, r.Floor, r.Runs, math.MaxInt)
	}
	return m.AppendTo(b)
}

func (p plainLeave) appendTo(b []byte) []byte { return AppendLeave(b, uint64(p)) }

// parse reads the body of a message of that type from the front of b.
func parse(kind Type, b []byte) (_ plain, n int, ok bool) {
	switch kind {
	case TypeHello:
		m, n, ok := ParseHello(b)
		return plainHello{m.Version, m.Size, m.Token, m.From, text(m.Cluster)}, n, ok
	case TypeWelcome:
		m, n, ok := ParseWelcome(b)
		return plainWelcome(m), n, ok
	case TypeMemberList:
		m, n, ok := ParseMemberList(b)
		p := plainList{News: m.News, Lost: m.Lost}
		for x, more := m.Next(); more; x, more = m.Next() {
			p.Members = append(p.Members, x)
		}
		return p, n, ok
	case TypeAck:
		m, n, ok := ParseAck(b)
		p := plainAck{Refused: m.Refused}
		for b := m.raw; len(b) > 0; b = b[AckSize:] {
			p.Runs = append(p.Runs, AckRun{be.Uint32(b), b[4]})
		}
		return p, n, ok
	case TypeData:
		m, n, ok := ParseData(b)
		return plainData{m.Origin, m.Counter, m.Flags, m.Hops, m.Lo, m.Hi, text(m.Payload)}, n, ok
	case TypeStatus:
		m, n, ok := ParseStatus(b)
		if !ok {
			return nil, n, false
		}
		p := plainStatus{m.Mode, m.Mark, m.After, nil}
		for origin, floor, runs, more := m.Digest.Next(nil); more; origin, floor, runs, more = m.Digest.Next(nil) {
			p.Records = append(p.Records, plainRecord{origin, floor, runs})
		}
		return p, n, ok
	case TypeLeave:
		id, n, ok := ParseLeave(b)
		return plainLeave(id), n, ok
	}
	return nil, 0, false
}

// random returns a legal message of a type that is drawn as well.
func random(r *rand.Rand) plain {
	switch kind := TypeHello + Type(r.IntN(int(Types-TypeHello))); kind {
	case TypeHello:
		return plainHello{uint16(r.Uint32()), uint16(r.Uint32()), r.Uint64(), randomMember(r), text(strings.Repeat("ä", r.IntN(128)))}
	case TypeWelcome:
		return plainWelcome{r.Uint32(), r.Uint64(), uint16(r.Uint32()), randomMember(r), randomAddr(r)}
	case TypeMemberList:
		kind := r.IntN(3)
		p := plainList{News: kind == 1, Lost: kind == 2}
		for range r.IntN(40) {
			p.Members = append(p.Members, randomMember(r))
		}
		return p
	case TypeAck:
		p := plainAck{Refused: r.IntN(2) == 0}
		for left := MostAcked; left > 256 && r.IntN(40) > 0; {
			run := AckRun{r.Uint32(), uint8(r.Uint32() >> r.IntN(32))}
			p.Runs = append(p.Runs, run)
			left -= 1 + int(run.More)
		}
		return p
	case TypeData:
		p := plainData{Origin: 1 + r.Uint64N(math.MaxUint64), Counter: 1 + r.Uint32N(math.MaxUint32)}
		p.Flags, p.Hops = uint8(r.Uint32()), uint8(r.Uint32())
		if p.Flags&FlagArc != 0 {
			p.Lo, p.Hi = r.Uint32(), r.Uint32()
		}
		p.Payload = text(randomBytes(r, r.IntN(200)))
		return p
	case TypeStatus:
		return randomStatus(r)
	default:
		return plainLeave(1 + r.Uint64N(math.MaxUint64))
	}
}

func randomMember(r *rand.Rand) Member {
	return Member{1 + r.Uint64N(math.MaxUint64), randomAddr(r)}
}

// randomAddr returns an address as parsing leaves it, invalid ones among them.
func randomAddr(r *rand.Rand) netip.AddrPort {
	size := []int{0, 4, 16}[r.IntN(3)]
	ip, ok := netip.AddrFromSlice(randomBytes(r, size))
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, uint16(r.Uint32()))
}

func randomStatus(r *rand.Rand) plainStatus {
	p := plainStatus{Mode: Mode(r.IntN(int(modes))), Mark: r.Uint64(), After: r.Uint64()}
	for range r.IntN(12) {
		record := plainRecord{Origin: 1 + r.Uint64N(1<<r.IntN(60)), Floor: r.Uint32()}
		end := uint64(record.Floor)
		for range r.IntN(20) {
			first := end + 1 + r.Uint64N(1<<r.IntN(17))
			if end = first + r.Uint64N(1<<r.IntN(16)); end > math.MaxUint32 {
				break
			}
			record.Runs = append(record.Runs, Run{First: uint32(first), Last: uint32(end)})
		}
		p.Records = append(p.Records, record)
	}
	return p
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// unhex reads hex digits; what stands between them is for the eye.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatalf("the test has a typing error: %q is not hex: %v", s, err)
	}
	return b
}
