// Reads a record as a transparency log, with the code of Go's checksum database: arguments are a directory and a verifier key.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type reader struct{ directory string }

func (r reader) Height() int { return 8 }

// The checksum database names the height in a tile's path; C2SP's tlog-tiles leaves it out, since it is always 8.
func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, err := os.ReadFile(filepath.Join(r.directory, path))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return value
}

func main() {
	directory := os.Args[1]
	verifier := must(note.NewVerifier(os.Args[2]))
	text := must(os.ReadFile(filepath.Join(directory, "checkpoint")))
	opened := must(note.Open(text, note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	var tree tlog.Tree
	must(fmt.Sscan(lines[1], &tree.N))
	tree.Hash = must(tlog.ParseHash(lines[2]))
	hashes := tlog.TileHashReader(tree, reader{directory})
	for first := int64(0); first < tree.N; first += 256 {
		tile := tlog.Tile{H: 8, L: -1, N: first / 256, W: int(min(256, tree.N-first))}
		bundle := must(os.ReadFile(filepath.Join(directory, strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1))))
		for index := first; index < first+int64(tile.W); index++ {
			length := binary.BigEndian.Uint16(bundle)
			record := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			proof := must(tlog.ProveRecord(tree.N, index, hashes))
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(record)); err != nil {
				fmt.Println("record", index, err)
				os.Exit(1)
			}
		}
	}
	fmt.Println("all", tree.N, "records of", lines[0])
}
