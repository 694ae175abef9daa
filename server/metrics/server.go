package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/metrics-server/pkg/api"
	"sigs.k8s.io/metrics-server/pkg/scraper"
	"sigs.k8s.io/metrics-server/pkg/storage"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Server collects figures of nodes and pods and answers with them.
type Server struct {
	cfg      Config
	report   func(error)
	kubelets *kubelets
	store    storage.Storage

	// Set by Watch.
	nodes   listers.NodeLister
	pods    listers.PodLister
	synced  []cache.InformerSynced
	scraper scraper.Scraper
}

// New returns a server that knows nothing yet. Report is told which nodes that
// are Ready give no figures, and nil when all do.
func New(cfg Config, log *slog.Logger, report func(error)) (*Server, error) {
	k, err := newKubelets(cfg, log.With("component", Name))
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, report: report, kubelets: k, store: storage.NewStorage(cfg.Resolution)}, nil
}

// Watch makes the server use the API server's informers. It is called once,
// before they start and before [Server.Install].
func (s *Server) Watch(factory informers.SharedInformerFactory) error {
	nodes, pods := factory.Core().V1().Nodes(), factory.Core().V1().Pods()
	s.nodes, s.pods = nodes.Lister(), pods.Lister()
	s.synced = []cache.InformerSynced{nodes.Informer().HasSynced, pods.Informer().HasSynced}
	s.scraper = scraper.NewScraper(s.nodes, s.kubelets, timeout, nil)
	return nil
}

// Install adds the API group to the API server.
func (s *Server) Install(server *genericapiserver.GenericAPIServer) error {
	if err := api.Install(s.store, runningPods{s.pods}, s.nodes, server, nil); err != nil {
		return fmt.Errorf("resource metrics API: %w", err)
	}
	return nil
}

// Component collects until it ends. It is ready when nodes and pods are known.
func (s *Server) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: s.run}
}

func (s *Server) run(ctx context.Context, ready func()) error {
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return ctx.Err()
	}
	ready()
	for {
		s.collect(ctx)
		// The first figure needs two samples: no reason to wait long for it.
		wait := s.cfg.Resolution
		if !s.store.Ready() {
			wait = MinResolution
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (s *Server) collect(ctx context.Context) {
	nodes, err := s.nodes.List(labels.Everything())
	if err != nil || len(nodes) == 0 {
		return
	}
	s.kubelets.keep(nodes)
	s.store.Store(s.scraper.Scrape(ctx))
	if ctx.Err() == nil {
		s.report(s.kubelets.trouble())
	}
}
