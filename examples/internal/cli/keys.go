package cli

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	keySize  = 32
	mostKeys = 8 // as in gossip.Config
)

// ReadKeys reads the keys of a cluster from a file with one in each line, of 64
// hexadecimal digits; the word clear stands for no key, empty lines and those that
// begin with # for nothing. With no path there are no keys. The file should be
// readable by its owner only.
//
//	openssl rand -hex 32 > cluster.key
func ReadKeys(path string) ([][]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys, make a file by openssl rand -hex 32: %w", err)
	}
	defer f.Close()
	keys, err := readKeys(f)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return keys, nil
}

func readKeys(r io.Reader) ([][]byte, error) {
	var keys [][]byte
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		var key []byte
		if text != "clear" {
			var err error
			if key, err = hex.DecodeString(text); err != nil || len(key) != keySize {
				return nil, fmt.Errorf("line %d is not a key of 64 hexadecimal digits, as openssl rand -hex 32 prints", n)
			}
		}
		if keys = append(keys, key); len(keys) > mostKeys {
			return nil, fmt.Errorf("there are more than %d keys", mostKeys)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key in it, write one by openssl rand -hex 32")
	}
	return keys, nil
}
