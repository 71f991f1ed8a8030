package authostest

import (
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// A dump is the scene as a graph: each value that a pointer leads to is written once,
// under a number, and pointers are those numbers. It goes through the types by
// reflection, so that whatever a scene will get is in it without anybody's doing.

const dumpFormat = 1

type dumped struct {
	Format  int               `json:"format"`
	Clock   time.Time         `json:"clock"` // of the server, then
	Scene   json.RawMessage   `json:"scene"`
	Objects []json.RawMessage `json:"objects"`
}

// Dump writes the whole state down as JSON: users, organizations, sessions, tokens, keys,
// mail and where the drawing of ids stands. Requests, counts and faults are not in it.
// Everything secret is.
func (s *Server) Dump() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dump()
}

func (s *Server) dump() []byte {
	e := &dumper{numbers: map[unsafe.Pointer]int{}}
	out := dumped{Format: dumpFormat, Clock: s.now()}
	out.Scene = e.value(reflect.ValueOf(&s.scene).Elem())
	out.Objects = e.objects
	return encode(out)
}

// Load puts the state back that [Server.Dump] has written down, of this server or of
// another of the same version. Deliveries of webhooks that were on their way then are
// not taken up again. After an error the state is what it was.
func (s *Server) Load(dump []byte) error {
	var in dumped
	if err := json.Unmarshal(dump, &in); err != nil {
		return fmt.Errorf("authostest: this is no dump: %w", err)
	}
	if in.Format != dumpFormat {
		return fmt.Errorf("authostest: a dump of format %d, want %d", in.Format, dumpFormat)
	}
	d := &loader{objects: in.Objects, made: make([]reflect.Value, len(in.Objects))}
	var loaded scene
	if err := d.value(reflect.ValueOf(&loaded).Elem(), in.Scene); err != nil {
		return fmt.Errorf("authostest: a damaged dump: %w", err)
	}
	if loaded.entropy == nil || loaded.entropy.src == nil {
		return errors.New("authostest: a damaged dump: nothing to draw from")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene = loaded
	return nil
}

// Mark makes the state of now the one that [Server.Rewind] returns to.
func (s *Server) Mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked = s.dump()
}

// Rewind returns to the state of [Server.Mark], or where nobody has called that to the
// one that New has made, forgets requests, counts and faults as [Server.Reset] does, and
// sets the clock right.
func (s *Server) Rewind() {
	s.clock.set(s.config.skew)
	s.mu.Lock()
	marked := s.marked
	if marked == nil {
		s.scene = newScene(s.scene.entropy.again(), s.now())
	}
	s.mu.Unlock()
	if marked != nil {
		_ = s.Load(marked) // which has written it itself
	}
	s.Reset()
}

type dumper struct {
	numbers map[unsafe.Pointer]int
	objects []json.RawMessage
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	binaryType = reflect.TypeFor[encoding.BinaryMarshaler]()
)

func (e *dumper) value(v reflect.Value) json.RawMessage {
	switch v.Kind() {
	case reflect.Pointer:
		return e.pointer(v)
	case reflect.Struct:
		if v.Type() == timeType {
			return encode(readable(v).Interface())
		}
		fields := make([]json.RawMessage, v.NumField())
		for i := range fields {
			fields[i] = slices.Concat(encode(v.Type().Field(i).Name), []byte(":"), e.value(v.Field(i)))
		}
		return join('{', fields, '}')
	case reflect.Map:
		if v.IsNil() {
			return json.RawMessage("null")
		}
		v = readable(v)
		pairs := make([]json.RawMessage, 0, v.Len())
		for _, key := range sortedKeys(v) {
			pairs = append(pairs, join('[', []json.RawMessage{e.value(addressable(key)), e.value(addressable(v.MapIndex(key)))}, ']'))
		}
		return join('[', pairs, ']')
	case reflect.Slice:
		if v.IsNil() {
			return json.RawMessage("null")
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return encode(v.Bytes())
		}
		return e.list(v)
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return encode(readable(v).Interface())
		}
		return e.list(v)
	default: // a scalar, or data of any shape that goes out as JSON only
		return encode(readable(v).Interface())
	}
}

func (e *dumper) list(v reflect.Value) json.RawMessage {
	items := make([]json.RawMessage, v.Len())
	for i := range items {
		items[i] = e.value(v.Index(i))
	}
	return join('[', items, ']')
}

func (e *dumper) pointer(v reflect.Value) json.RawMessage {
	if v.IsNil() {
		return json.RawMessage("null")
	}
	n, known := e.numbers[v.UnsafePointer()]
	if !known {
		n = len(e.objects)
		e.numbers[v.UnsafePointer()] = n
		e.objects = append(e.objects, nil)
		if v.Type().Implements(binaryType) {
			m, _ := reflect.TypeAssert[encoding.BinaryMarshaler](readable(v))
			state, err := m.MarshalBinary()
			if err != nil {
				panic("authostest: dump: " + err.Error()) // a generator can always say where it stands
			}
			e.objects[n] = encode(state)
		} else {
			e.objects[n] = e.value(v.Elem())
		}
	}
	return json.RawMessage(strconv.Itoa(n))
}

// sortedKeys puts the keys of a map in order, so that equal states have equal dumps.
func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		return cmp.Compare(fmt.Sprint(addressable(a)), fmt.Sprint(addressable(b)))
	})
	return keys
}

func join(open byte, parts []json.RawMessage, end byte) json.RawMessage {
	out := []byte{open}
	for i, part := range parts {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, part...)
	}
	return append(out, end)
}

// readable is a value without the mark of an unexported field.
func readable(v reflect.Value) reflect.Value {
	if v.CanInterface() {
		return v
	}
	return writable(v)
}

// addressable is a copy of a key or an element of a map, which have no address.
func addressable(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}

// writable is a field that may be set although it is not exported. All of them are this
// package's own.
func writable(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
}

type loader struct {
	objects []json.RawMessage
	made    []reflect.Value
}

func (d *loader) value(v reflect.Value, raw json.RawMessage) error {
	switch v.Kind() {
	case reflect.Pointer:
		return d.pointer(v, raw)
	case reflect.Struct:
		if v.Type() == timeType {
			return d.plain(v, raw)
		}
		return d.fields(v, raw)
	case reflect.Map:
		return d.pairs(v, raw)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return d.plain(v, raw)
		}
		return d.list(v, raw)
	default:
		return d.plain(v, raw)
	}
}

func (d *loader) plain(v reflect.Value, raw json.RawMessage) error {
	into := reflect.New(v.Type())
	if err := json.Unmarshal(raw, into.Interface()); err != nil {
		return err
	}
	writable(v).Set(into.Elem())
	return nil
}

func (d *loader) pointer(v reflect.Value, raw json.RawMessage) error {
	if string(raw) == "null" {
		return nil
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < 0 || n >= len(d.objects) {
		return fmt.Errorf("no object %s", raw)
	}
	if d.made[n].IsValid() {
		if d.made[n].Type() != v.Type() {
			return fmt.Errorf("object %d is two things", n)
		}
		writable(v).Set(d.made[n])
		return nil
	}
	object := reflect.New(v.Type().Elem())
	d.made[n] = object
	writable(v).Set(object)
	if m, ok := reflect.TypeAssert[encoding.BinaryUnmarshaler](object); ok {
		var state []byte
		if err := json.Unmarshal(d.objects[n], &state); err != nil {
			return err
		}
		return m.UnmarshalBinary(state)
	}
	return d.value(object.Elem(), d.objects[n])
}

func (d *loader) fields(v reflect.Value, raw json.RawMessage) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	if len(fields) != v.NumField() {
		return fmt.Errorf("a %s of another version", v.Type())
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		field, ok := fields[name]
		if !ok {
			return fmt.Errorf("a %s without %s", v.Type(), name)
		}
		if err := d.value(v.Field(i), field); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (d *loader) pairs(v reflect.Value, raw json.RawMessage) error {
	if string(raw) == "null" {
		return nil
	}
	var pairs [][2]json.RawMessage
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, pair := range pairs {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := d.value(key, pair[0]); err != nil {
			return err
		}
		if err := d.value(value, pair[1]); err != nil {
			return err
		}
		m.SetMapIndex(key, value)
	}
	writable(v).Set(m)
	return nil
}

func (d *loader) list(v reflect.Value, raw json.RawMessage) error {
	if string(raw) == "null" {
		return nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if err := d.value(list.Index(i), item); err != nil {
			return err
		}
	}
	writable(v).Set(list)
	return nil
}
