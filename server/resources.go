package server

import (
	"slices"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"

	"github.com/kedge-io/kedge/server/metrics"
)

// buildMetrics builds the resource metrics API unless it is disabled.
func (s *Server) buildMetrics(report Report) error {
	if slices.Contains(s.cfg.Disable, metrics.Name) {
		return nil
	}
	var err error
	s.metrics, err = metrics.New(metrics.Config{
		Resolution: s.cfg.MetricsResolution, DialKubelet: s.hub.DialKubelet, KubeletCA: s.paths.KubeletCA.Cert,
		ClientCert: s.paths.KubeletClient.Cert, ClientKey: s.paths.KubeletClient.Key,
	}, s.log, func(err error) { report(metrics.Name, err) })
	return err
}

// watch lets the parts that follow nodes and pods use the API server's own
// informers.
func (s *Server) watch(factory informers.SharedInformerFactory) error {
	if err := s.egress.Watch(factory); err != nil {
		return err
	}
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Watch(factory)
}

func (s *Server) installAPIs(server *genericapiserver.GenericAPIServer) error {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Install(server)
}
