package node

import (
	"reflect"
	"strconv"
	"testing"
)

// footprint returns how many bytes can be reached from v: each object once, slices up to
// their capacity, and maps by their entries. Unlike the heap of the process it does not
// depend on other tests. What a function captures is not counted.
func footprint(v any) int {
	w := walker{seen: map[object]bool{}, plain: map[reflect.Type]bool{}}
	return w.beyond(reflect.ValueOf(v))
}

type walker struct {
	seen  map[object]bool
	plain map[reflect.Type]bool // whether a type holds no pointer
}

// object is a pointer with its type: a struct has the address of its first field.
type object struct {
	at uintptr
	of reflect.Type
}

// beyond returns the bytes that are reached from v, without v itself.
func (w *walker) beyond(v reflect.Value) (size int) {
	if w.isPlain(v.Type()) {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Interface:
		if !v.IsNil() {
			size = int(v.Elem().Type().Size()) + w.beyond(v.Elem())
		}
	case reflect.Pointer:
		if !v.IsNil() && w.isNew(v) {
			size = int(v.Type().Elem().Size()) + w.beyond(v.Elem())
		}
	case reflect.Slice:
		if !v.IsNil() && w.isNew(v) {
			size = v.Cap()*int(v.Type().Elem().Size()) + w.elements(v.Slice(0, v.Cap()))
		}
	case reflect.Array:
		size = w.elements(v)
	case reflect.Map:
		size = v.Len() * int(v.Type().Key().Size()+v.Type().Elem().Size())
		for entries := v.MapRange(); entries.Next(); {
			size += w.beyond(entries.Key()) + w.beyond(entries.Value())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			size += w.beyond(v.Field(i))
		}
	}
	return size
}

func (w *walker) elements(v reflect.Value) (size int) {
	if w.isPlain(v.Type().Elem()) {
		return 0
	}
	for i := range v.Len() {
		size += w.beyond(v.Index(i))
	}
	return size
}

func (w *walker) isNew(v reflect.Value) bool {
	o := object{v.Pointer(), v.Type()}
	if w.seen[o] {
		return false
	}
	w.seen[o] = true
	return true
}

func (w *walker) isPlain(t reflect.Type) bool {
	plain, known := w.plain[t]
	if known {
		return plain
	}
	switch t.Kind() {
	case reflect.String, reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Map:
	case reflect.Array:
		plain = w.isPlain(t.Elem())
	case reflect.Struct:
		plain = true
		for i := range t.NumField() {
			plain = plain && w.isPlain(t.Field(i).Type)
		}
	default:
		plain = true
	}
	w.plain[t] = plain
	return plain
}

func TestFootprintCountsEachObjectOnce(t *testing.T) {
	type node struct {
		name string
		next *node
		any  any
	}
	ring := &node{name: "four"}
	ring.next = ring
	ring.any = map[uint32][]byte{1: make([]byte, 10, 100), 2: nil}
	const structure, entries, bytes = 16 + 8 + 16, 2 * (4 + 24), 100
	if got, want := footprint(ring), structure+len("four")+8+entries+bytes; strconv.IntSize == 64 && got != want {
		t.Errorf("the footprint is %d instead of %d", got, want)
	}
}
