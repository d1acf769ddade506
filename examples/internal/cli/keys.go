package cli

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	keySize  = 32
	mostKeys = 8        // as in gossip.Config
	mostFile = 64 << 10 // bytes of a key file: room for comments, but /dev/zero ends
)

// ReadKeys reads the keys of a cluster from a file with a key of 64 hexadecimal digits in
// each line. The word clear stands for the empty key; empty lines and those that begin with
// # are ignored. The file may have 8 keys and 64 KiB at most. Without a path there are no
// keys. The file should be readable by its owner only.
//
//	openssl rand -hex 32 > cluster.key
func ReadKeys(path string) ([][]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys, make a file with openssl rand -hex 32: %w", err)
	}
	defer f.Close()
	keys, err := readKeys(f)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return keys, nil
}

func readKeys(r io.Reader) ([][]byte, error) {
	file, err := io.ReadAll(io.LimitReader(r, mostFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(file) > mostFile:
		return nil, fmt.Errorf("it has more than %d bytes: a key file has a key of 64 hexadecimal digits in each line, as openssl rand -hex 32 prints", mostFile)
	}
	var keys [][]byte
	n := 0
	for line := range strings.Lines(string(file)) {
		n++
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		var key []byte
		if text != "clear" {
			if key, err = hex.DecodeString(text); err != nil || len(key) != keySize {
				return nil, fmt.Errorf("line %d is not a key of 64 hexadecimal digits, as openssl rand -hex 32 prints", n)
			}
		}
		if keys = append(keys, key); len(keys) > mostKeys {
			return nil, fmt.Errorf("there are more than %d keys", mostKeys)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key in it, make one with openssl rand -hex 32")
	}
	return keys, nil
}
