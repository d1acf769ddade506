package repair
import ("testing";"math/rand/v2";"time";"example.com/gossip/internal/versions")
func TestDbg(t *testing.T){
 for _, room := range []int{17,34,51,100,485,1200,5000} {
  fails, tot, rounds, lack := 0,0,0,0
  for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		origins, bases := world(r)
		now := 10 * time.Second
		a := past(r, roomy(), now, origins, bases)
		b := past(r, roomy(), now, origins, bases)
		had := append(a.retained(), b.retained()...)
		l := &link{t: t, seed: seed, room: room, budget: 1+r.IntN(4)}
		_ = versions.Width
		idle:=0
		for idle<2 {
			now+=time.Second
			before:=l.moved
		l.round(now, a, b)
		l.round(now, b, a)
		rounds++
		if l.moved==before {idle++} else {idle=0}
		}
		tot++
		lack+=l.moved
		for _, e := range had {
			if m := (message{e.Origin, e.Counter}); !a.has(m) || !b.has(m) {
				fails++
				break
			}
		}
	}
	t.Log(room, fails, tot, rounds, lack)
 }
}
