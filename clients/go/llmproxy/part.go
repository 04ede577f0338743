package llmproxy

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// Segment is one of the proxy's files, of 64 MiB or so, within one of ours.
type Segment struct {
	// Index is its number within the part.
	Index int32 `json:"index"`
	// Offset is where it begins in our file, in bytes.
	Offset int64 `json:"offset"`
	// RecordCount is its records.
	RecordCount int64 `json:"record_count"`
	// ByteCount is its bytes before compression.
	ByteCount int64 `json:"byte_count"`
	// SHA256 is of those bytes, in hexadecimal; empty until it is whole, and if nobody could tell it.
	SHA256 string `json:"sha256"`
	// Whole says whether its end has come.
	Whole bool `json:"whole"`
	// Verified says whether count and hash were found to be what the proxy said; not of Zstandard, which is not read here.
	Verified bool `json:"verified"`
}

// partState is what a later process has to know of a file.
type partState struct {
	Name     string     `json:"name"`
	Part     int32      `json:"part"`
	Size     int64      `json:"size"`
	Segments []*Segment `json:"segments"`
}

func (s *partState) records() int64 {
	var records int64
	for _, segment := range s.Segments {
		records += segment.RecordCount
	}
	return records
}

// partFile is a file that grows by chunks.
type partFile struct {
	state    *partState
	file     *os.File
	gzipped  bool
	readable bool
	open     bool
	hash     hash.Hash
}

// openPart opens a file as its state says; what it holds beyond that is cut off.
func openPart(
	folder string, state *partState, compression llmproxyv1.ExportCompression,
) (*partFile, error) {
	file, err := os.OpenFile(filepath.Join(folder, state.Name), os.O_RDWR|os.O_CREATE|noFollow, privateFile)
	if err != nil {
		return nil, err
	}
	p := &partFile{
		state:    state,
		file:     file,
		gzipped:  compression == llmproxyv1.ExportCompression_EXPORT_COMPRESSION_GZIP,
		readable: compression != llmproxyv1.ExportCompression_EXPORT_COMPRESSION_ZSTD,
		hash:     sha256.New(),
	}
	if err := p.takeUp(); err != nil {
		file.Close()
		return nil, err
	}
	return p, nil
}

// takeUp cuts the file to its state, and hashes again what is there of an open segment.
func (p *partFile) takeUp() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < p.state.Size {
		return fmt.Errorf("%w: %s is shorter than it was left", ErrDamaged, p.state.Name)
	}
	if err := p.file.Truncate(p.state.Size); err != nil {
		return err
	}
	if count := len(p.state.Segments); count > 0 && !p.state.Segments[count-1].Whole {
		p.open = true
		segment := p.state.Segments[count-1]
		segment.ByteCount = 0
		if _, err := p.file.Seek(segment.Offset, io.SeekStart); err != nil {
			return err
		}
		if err := p.count(segment, p.file); err != nil {
			return err
		}
	}
	_, err = p.file.Seek(p.state.Size, io.SeekStart)
	return err
}

func (p *partFile) write(data []byte, records int64, index int32) error {
	segment, err := p.segment(index)
	if err != nil {
		return err
	}
	if err := p.count(segment, bytes.NewReader(data)); err != nil {
		return err
	}
	if _, err := p.file.Write(data); err != nil {
		return err
	}
	p.state.Size += int64(len(data))
	segment.RecordCount += records
	return nil
}

// complete ends a segment, and compares it with what the proxy says of it.
func (p *partFile) complete(file *llmproxyv1.ExportFile) error {
	segment, err := p.segment(file.GetIndex())
	if err != nil {
		return err
	}
	p.open = false
	segment.SHA256, segment.Whole = hex.EncodeToString(file.GetSha256()), true
	if segment.RecordCount != file.GetRecordCount() {
		return fmt.Errorf("%w: %s: file %d has another number of records", ErrDamaged, p.state.Name, segment.Index)
	}
	if !p.readable {
		segment.ByteCount = file.GetByteCount()
		return nil
	}
	found := hex.EncodeToString(p.hash.Sum(nil))
	if segment.SHA256 == "" {
		segment.SHA256 = found // records were erased behind a resume: our own one stands in for the proxy's
	}
	if segment.ByteCount != file.GetByteCount() || segment.SHA256 != found {
		return fmt.Errorf("%w: %s: file %d is not what the proxy sent", ErrDamaged, p.state.Name, segment.Index)
	}
	segment.Verified = len(file.GetSha256()) > 0
	return nil
}

// segment gives the open segment, begun if this is its first chunk.
func (p *partFile) segment(index int32) (*Segment, error) {
	count := len(p.state.Segments)
	if p.open && p.state.Segments[count-1].Index == index {
		return p.state.Segments[count-1], nil
	}
	if p.open || int(index) != count {
		return nil, fmt.Errorf("%w: %s: file %d came where file %d was due", ErrDamaged, p.state.Name, index, count)
	}
	segment := &Segment{Index: index, Offset: p.state.Size}
	p.state.Segments = append(p.state.Segments, segment)
	p.hash.Reset()
	p.open = true
	return segment, nil
}

// count takes bytes into the length and the hash of a segment, before compression.
func (p *partFile) count(segment *Segment, data io.Reader) error {
	if !p.readable {
		return nil
	}
	if p.gzipped {
		plain, err := gzip.NewReader(data)
		if err == io.EOF {
			return nil // nothing is there yet
		}
		if err != nil {
			return fmt.Errorf("%w: %s: a chunk cannot be decompressed", ErrDamaged, p.state.Name)
		}
		data = plain
	}
	length, err := io.Copy(p.hash, data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, p.state.Name, err)
	}
	segment.ByteCount += length
	return nil
}
