package bandwidth

import (
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/bitrate"
)

var (
	held = load{rate: 9_600 * bitrate.Kbit, ceil: 10 * bitrate.Mbit, drops: 7}
	idle = load{rate: 2 * bitrate.Mbit, ceil: 10 * bitrate.Mbit}
)

// watchFor looks every 30 s for as long, with what of returns, and tells after
// which looks there was something to say.
func watchFor(p *patience, from, looks int, of func(look int) load) (told []int) {
	for i := from; i < from+looks; i++ {
		now := time.Unix(0, 0).Add(time.Duration(i) * lookAfter)
		if len(p.look(now, lookAfter, map[string]load{"pod default/web": of(i)})) > 0 {
			told = append(told, i)
		}
	}
	return told
}

func TestThrottledForLongIsToldOnceAnHour(t *testing.T) {
	told := watchFor(&patience{}, 0, 300, func(int) load { return held })
	if len(told) != 3 || told[0] != 9 || told[1]-told[0] != 120 {
		t.Errorf("told after looks %v, want after five minutes and then every hour", told)
	}
}

func TestABurstIsNotThrottledForLong(t *testing.T) {
	told := watchFor(&patience{}, 0, 300, func(i int) load {
		if i%10 < 7 {
			return held
		}
		return idle
	})
	if told != nil {
		t.Errorf("told after looks %v although three of ten were idle", told)
	}
}

func TestFullSpeedWithoutDropsIsNotThrottled(t *testing.T) {
	calm := held
	calm.drops = 0
	if told := watchFor(&patience{}, 0, 300, func(int) load { return calm }); told != nil {
		t.Errorf("told after looks %v", told)
	}
}

func TestThrottlingForgetsWhatIsGone(t *testing.T) {
	p := &patience{}
	watchFor(p, 0, 9, func(int) load { return held })
	p.look(time.Unix(0, 0).Add(9*lookAfter), lookAfter, nil)
	if told := watchFor(p, 10, 9, func(int) load { return held }); told != nil {
		t.Errorf("told after looks %v, want five minutes counted anew", told)
	}
}
