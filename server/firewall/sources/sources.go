package sources

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Config is what [Sources] need to know.
type Config struct {
	// Client gives the configuration of a client that may read address sets and
	// ConfigMaps and write the status of the former. It is called by Run.
	Client func() (*rest.Config, error)
	// Dir is where copies of what was read are kept; it is made when needed.
	Dir string
	// Changed is called after what [Sources.Sets] returns became different, from
	// any goroutine; it must not block. May be nil.
	Changed func()
	// UserAgent is what lists are fetched as.
	UserAgent string
	// Proxy is that for lists, as in [http.Transport]. May be nil.
	Proxy func(*http.Request) (*url.URL, error)
	// Patience is how long [Sources.Synced] waits for sources of which there is no
	// copy; 0 means DefaultPatience. Pause is the time between two writes of one
	// status; 0 means DefaultPause. Retry is the shortest time between two fetches
	// after a failure; 0 means DefaultRetry.
	Patience, Pause, Retry time.Duration
}

// Defaults of [Config].
const (
	DefaultPatience = 10 * time.Second
	DefaultPause    = 2 * time.Second
	DefaultRetry    = 10 * time.Second
)

// Sources keep the content of all address sets. They are safe for use by several
// goroutines.
type Sources struct {
	cfg    Config
	log    *slog.Logger
	store  store
	queue  workqueue.TypedInterface[string]
	synced chan struct{}

	mu   sync.Mutex
	sets map[string]model.AddressSet

	// Of the goroutine of Run alone:
	api     api
	objects cache.SharedInformer
	keepers map[string]*keeper
}

// New returns sources that Run makes work.
func New(cfg Config, log *slog.Logger) *Sources {
	for value, standard := range map[*time.Duration]time.Duration{&cfg.Patience: DefaultPatience, &cfg.Pause: DefaultPause, &cfg.Retry: DefaultRetry} {
		if *value == 0 {
			*value = standard
		}
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	return &Sources{
		cfg: cfg, log: log, store: store{cfg.Dir, log}, queue: workqueue.NewTyped[string](), synced: make(chan struct{}),
		sets: map[string]model.AddressSet{}, keepers: map[string]*keeper{},
	}
}

// Synced is closed once the content of all sets is known, from their sources or
// from the kept copies, or [Config.Patience] is over.
func (s *Sources) Synced() <-chan struct{} { return s.synced }

// Sets returns the sets by name. A set that is not in there has not been read
// yet, or does not exist. The prefixes must not be changed; as long as they are
// the same they are the same slice.
func (s *Sources) Sets() map[string]model.AddressSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sets)
}

// Run keeps the sets until ctx ends. The definitions must be served. It runs once.
func (s *Sources) Run(ctx context.Context) error {
	var err error
	if s.api, err = connect(s.cfg.Client); err != nil {
		return err
	}
	return s.run(ctx)
}

func (s *Sources) run(ctx context.Context) error {
	s.objects = cache.NewSharedInformer(s.api.sets, &v1alpha1.AddressSet{}, 0)
	if err := s.objects.SetTransform(slim); err != nil {
		return fmt.Errorf("watch address sets: %w", err)
	}
	seen := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			s.queue.Add(key)
		}
	}
	if _, err := s.objects.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: seen, UpdateFunc: func(_, obj any) { seen(obj) }, DeleteFunc: seen}); err != nil {
		return fmt.Errorf("watch address sets: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); s.objects.RunWithContext(ctx) }()
	defer func() { stop(); <-ended; s.end() }()
	defer context.AfterFunc(ctx, s.queue.ShutDown)()
	if !cache.WaitForCacheSync(ctx.Done(), s.objects.HasSynced) {
		return ctx.Err()
	}
	s.begin(ctx)
	for {
		name, end := s.queue.Get()
		if end {
			return ctx.Err()
		}
		s.look(ctx, name)
		s.queue.Done(name)
	}
}

// slim forgets who wrote which field, of which a large set has much.
func slim(obj any) (any, error) {
	set, ok := obj.(*v1alpha1.AddressSet)
	if !ok {
		return obj, nil
	}
	next := *set
	next.ManagedFields, next.Annotations = nil, nil
	return &next, nil
}

// begin starts with the sets that there are, and closes synced once they are known.
func (s *Sources) begin(ctx context.Context) {
	for _, name := range s.objects.GetStore().ListKeys() {
		s.look(ctx, name)
	}
	if err := s.store.sweep(func(set string) bool { return s.keepers[set] != nil }); err != nil {
		s.log.Warn("copies of address lists that nobody needs stay", "error", err)
	}
	first := maps.Clone(s.keepers)
	go func() {
		defer close(s.synced)
		patience := time.NewTimer(s.cfg.Patience)
		defer patience.Stop()
		for name, k := range first {
			select {
			case <-k.known:
			case <-k.ended:
			case <-patience.C:
				s.log.Warn("going on without an address set that is not known yet", "set", name)
				return
			case <-ctx.Done():
				return
			}
		}
	}()
}

// look makes the keeper of a set be as its object says.
func (s *Sources) look(ctx context.Context, name string) {
	obj, exists, _ := s.objects.GetStore().GetByKey(name)
	set, ok := obj.(*v1alpha1.AddressSet)
	k := s.keepers[name]
	if k != nil && exists && ok && k.set.UID == set.UID && k.set.Generation == set.Generation {
		return
	}
	var read map[v1alpha1.AddressSourceName]*reading
	if k != nil {
		k.stop()
		<-k.ended
		read = k.read
	}
	if !exists || !ok {
		delete(s.keepers, name)
		s.forget(name)
		return
	}
	s.keepers[name] = s.keep(ctx, set, read)
}

// end waits for all keepers.
func (s *Sources) end() {
	for _, k := range s.keepers {
		k.stop()
		<-k.ended
	}
}

// forget a set that is gone.
func (s *Sources) forget(name string) {
	s.store.remove(name, v1alpha1.SourceConfigMap, v1alpha1.SourceList)
	s.mu.Lock()
	delete(s.sets, name)
	s.mu.Unlock()
	s.cfg.Changed()
}

// publish makes a set's content known to others.
func (s *Sources) publish(set model.AddressSet) {
	s.mu.Lock()
	s.sets[set.Name] = set
	s.mu.Unlock()
	s.cfg.Changed()
}
