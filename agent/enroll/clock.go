package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// learnTime asks the server what time it is. The answer counts when one of the
// authorities has signed it for this question: a certificate that looks as if it
// had ended proves nothing, and neither does this machine's clock.
func (e *Enroll) learnTime(ctx context.Context, authorities []*x509.Certificate) error {
	client := e.config.newClient(whenever(authorities), e.config.Now)
	defer client.closer()
	nonce, asked := rand.Text(), time.Now()
	body, err := client.get(ctx, wire.PathTime+"?nonce="+url.QueryEscape(nonce))
	if err != nil {
		return fmt.Errorf("learn the time: %w", err)
	}
	var answer wire.TimeResponse
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("learn the time: %w", err)
	}
	if !signed(answer, nonce, authorities) {
		return errors.New("learn the time: no authority of the cluster has signed it")
	}
	e.learned(answer.Now.Add(time.Since(asked) / 2))
	return nil
}

// agreement is how far two clocks that are both right may differ, the way of an
// answer included.
const agreement = 15 * time.Second

// learned hands on a time of the server. As long as the machine's clock shows
// another one it is asked for again and again: it may be the server's that is wrong,
// and be set right.
func (e *Enroll) learned(now time.Time) {
	e.timed.Store(time.Until(now).Abs() < agreement)
	e.config.Learn(now)
}

func signed(answer wire.TimeResponse, nonce string, authorities []*x509.Certificate) bool {
	digest := wire.TimeDigest(nonce, answer.Now)
	for _, ca := range authorities {
		key, ok := ca.PublicKey.(*ecdsa.PublicKey)
		for _, signature := range answer.Signatures {
			if ok && ecdsa.VerifyASN1(key, digest[:], signature) {
				return true
			}
		}
	}
	return false
}

// whenever verifies servers as [pki.ServerTLS] does, but for the time: as if it
// were the last moment of the certificate's life.
func whenever(authorities []*x509.Certificate) *tls.Config {
	config := pki.ServerTLS(pki.Pool(authorities...), time.Now)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server presented no certificate")
		}
		last := state.PeerCertificates[0].NotAfter
		return pki.ServerTLS(pki.Pool(authorities...), func() time.Time { return last }).VerifyConnection(state)
	}
	return config
}
