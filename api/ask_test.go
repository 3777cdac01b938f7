package api

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"ringback/scheduler"
)

// utf16Of is a text in UTF-16 with a byte order mark.
func utf16Of(order binary.AppendByteOrder, text string) string {
	out := order.AppendUint16(nil, 0xfeff)
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

// TestAsk: what is asked for means the same in each format.
func TestAsk(t *testing.T) {
	const guid = "5f2ab0f5-95be-40d5-834f-d6353ea0a8be"
	at := time.Date(2026, 1, 31, 7, 30, 0, 123456700, time.UTC)
	count := 7
	full := sample{Text: "Zoë & <co>", ID: guid, Is: true, On: true, Count: &count, Kind: 2, Set: 5, At: at, List: []string{"a", "b"}}
	document := `<?xml version="1.0" encoding="utf-16"?>
		<Sample xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
		<List><string>a</string><string>b</string></List><Unknown><Deep a="b"/></Unknown><!-- no --><Set>EMAIL FAX</Set><Kind>TWO</Kind>
		<At>2026-01-31T08:30:00.1234567+01:00</At><Is> true </Is><Count> 7 </Count><ID>` + guid + `</ID><Text>Zo&#235; <![CDATA[& <co>]]></Text></Sample>`
	for claim, tc := range map[string]struct {
		media, body string
		want        sample
	}{
		"JSON, names in any case": {mediaJSON, `{"text":"Zoë & <co>","ID":"{` + strings.ToUpper(guid) + `}","IS":true,"count":7,"Kind":2,"Set":5,
			"At":"2026-01-31T08:30:00.1234567+01:00","List":["a","b"],"Unknown":{}}`, full},
		"JSON, names of values":       {mediaTextJSON, `{"Text":"Zoë & <co>","ID":"` + guid + `","Is":"True","Count":"7","Kind":"two","Set":"email, Fax","At":"2026-01-31T08:30:00.1234567","List":["a","b"]}`, full},
		"XML that says it is UTF-16":  {mediaXML, document, full},
		"XML with a byte order mark":  {mediaTextXML + "; charset=utf-16", "\ufeff" + document, full},
		"XML in UTF-16, little":       {mediaXML, utf16Of(binary.LittleEndian, document), full},
		"XML in UTF-16, big":          {mediaXML, utf16Of(binary.BigEndian, document), full},
		"XML in a namespace":          {mediaXML, `<s:Sample xmlns:s="http://schemas.datacontract.org/2004/07/X"><s:Kind>1</s:Kind></s:Sample>`, sample{Kind: 1}},
		"a form":                      {mediaForm, "Text=Zo%C3%AB+%26+%3Cco%3E&ID=" + guid + "&is=true&Count=7&Kind=TWO&Set=1,4&At=2026-01-31T08:30:00.1234567%2B01:00&List=a&List=b&Unknown=", full},
		"a form with a list by index": {mediaForm, "List[1]=a&List[0]=b", sample{List: []string{"a", "b"}}},
		"a list of one":               {mediaForm, "List=a", sample{List: []string{"a"}}},
		"an empty list":               {mediaXML, "<Sample><List> </List></Sample>", sample{}},
		"nothing in XML":              {mediaXML, "<sample/>", sample{}},
		"null in JSON":                {mediaJSON, `{"Text":null,"ID":null,"Is":null,"Count":null,"Kind":null,"Set":null,"At":null,"List":null}`, sample{Cleared: []string{"ID", "Is", "Count", "Kind", "Set", "At"}}},
		"null in XML":                 {mediaXML, `<Sample xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Text i:nil="true"/><At i:nil="1"> </At><Kind xsi:nil="true"/></Sample>`, sample{Cleared: []string{"At", "Kind"}}},
		"what is empty in XML":        {mediaXML, `<Sample><Text/><ID/><Is> </Is><Count/><Kind></Kind><Set/><At/></Sample>`, sample{Cleared: []string{"ID", "Is", "Count", "Kind", "Set", "At"}}},
		"what is empty in a form":     {mediaForm, "Text=&ID&At=", sample{Cleared: []string{"ID", "At"}}},
		"text keeps its space":        {mediaXML, "<Sample><Text> a\r\n b </Text></Sample>", sample{Text: " a\n b "}},
		"a set of nothing":            {mediaJSON, `{"Set":"NONE"}`, sample{}},
		"a set as a list":             {mediaJSON, `{"Set":["WEBHOOK","FAX",1]}`, sample{}},
		"a time without offset":       {mediaJSON, `{"At":"2026-07-01T12:00"}`, sample{At: time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)}},
		"a day":                       {mediaJSON, `{"At":"2026-01-31"}`, sample{At: time.Date(2026, 1, 30, 23, 0, 0, 0, time.UTC)}},
		"a time with a short offset":  {mediaJSON, `{"At":"2026-07-01T12:00:00-0230"}`, sample{At: time.Date(2026, 7, 1, 14, 30, 0, 0, time.UTC)}},
		"a time that does not exist":  {mediaJSON, `{"At":"2026-03-29T02:30:00"}`, sample{At: time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)}},
	} {
		t.Run(claim, func(t *testing.T) {
			got, err := askSample(t, sampleShape, tc.media, tc.body)
			if claim == "a set as a list" { // has a number among its texts
				if err == nil || err.Error() != "Set[2] must be a string" {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%v\n%+v, want\n%+v", err, got, tc.want)
			}
		})
	}
}

// TestAskBad: what is wrong with a body is told, by its fields and all at once.
func TestAskBad(t *testing.T) {
	deep := func(open, shut string) string {
		return strings.Repeat(open, 1_000_000) + strings.Repeat(shut, 1_000_000)
	}
	types := "Text must be a string; ID must be a GUID; Is must be true or false; Count must be an integer; Kind must be one of NONE, ONE, TWO; " +
		"Set must be a set of NONE, EMAIL, WEBHOOK, FAX; At must be a date of ISO 8601, such as 2026-01-31T08:30:00+01:00; List must be a list of strings"
	values := "ID must be a GUID; Is must be true or false; Count must be an integer; Kind must be one of NONE, ONE, TWO, or its number from 0 to 2; " +
		"Set must be names of NONE, EMAIL, WEBHOOK, FAX, or their sum from 0 to 7; At must be a date of ISO 8601, such as 2026-01-31T08:30:00+01:00"
	for claim, tc := range map[string]struct{ media, body, want string }{
		"every type wrong in JSON":    {mediaJSON, `{"Text":[],"ID":{},"Is":[],"Count":[],"Kind":{},"Set":{},"At":[],"List":"a"}`, types},
		"every type wrong in XML":     {mediaXML, `<Sample><Text><a/></Text><ID><a/></ID><Is><a/></Is><Count><a/></Count><Kind><a/></Kind><Set><a/></Set><At><a/></At></Sample>`, strings.TrimSuffix(types, "; List must be a list of strings")},
		"every value wrong in JSON":   {mediaJSON, `{"ID":"x","Is":"yes","Count":1.5,"Kind":3,"Set":8,"At":"yesterday"}`, values},
		"every value wrong in XML":    {mediaXML, `<Sample><ID>x</ID><Is>2</Is><Count>x</Count><Kind>SOMETIMES</Kind><Set>EMAIL PHONE</Set><At>1/2/2026</At></Sample>`, values},
		"every value wrong in a form": {mediaForm, `ID=x&Is=-&Count=x&Kind=99&Set=-1&At=2026-13-01`, values},
		"twice in JSON":               {mediaJSON, `{"Text":"a","text":"b"}`, "Text is given twice"},
		"twice in XML":                {mediaXML, `<Sample><Kind>1</Kind><Kind>1</Kind></Sample>`, "Kind is given twice"},
		"twice in a form":             {mediaForm, `Text=a&Text=b&Kind=1&kind=1&At=&At=`, "Text is given twice; Kind is given twice; At is given twice"},
		"more than seven digits":      {mediaJSON, `{"At":"2026-01-31T08:30:00.12345678Z"}`, "At must have at most 7 digits of a second's fraction"},
		"a year that is none":         {mediaJSON, `{"At":"0001-01-01T00:00:00+01:00"}`, "At must be a date of ISO 8601, such as 2026-01-31T08:30:00+01:00"},
		"NUL":                         {mediaForm, "Text=a%00b", "Text must not contain a NUL character"},
		"nothing":                     {mediaXML, " \n", "Body must not be empty"},
		"no form":                     {mediaForm, "Text=%zz", "Body is not a valid form"},
		"a form that is not UTF-8":    {mediaForm, "Text=%ff", "Body is not valid UTF-8"},
		"a form of too many fields":   {mediaForm, strings.Repeat("a&", 1001), "Body must have at most 1000 fields"},
		"no XML":                      {mediaXML, "hello", "Body must have no text outside its outermost element"},
		"JSON for XML":                {mediaXML, "{}", "Body must have no text outside its outermost element"},
		"XML cut short":               {mediaXML, "<Sample>\n<Text>a", "Body is not valid XML at line 2"},
		"XML that does not match":     {mediaXML, "<Sample><Text></Sample>", "Body is not valid XML at line 1"},
		"another element":             {mediaXML, "<Other/>", "Body must be an XML element Sample"},
		"two elements":                {mediaXML, "<Sample/><Sample/>", "Body must end after one XML element"},
		"text after the element":      {mediaXML, "<Sample/>x", "Body must have no text outside its outermost element"},
		"text in the element":         {mediaXML, "<Sample>x</Sample>", "Body has text beside elements in Sample"},
		"text beside elements":        {mediaXML, "<Sample><List>x<string>a</string></List></Sample>", "Body has text beside elements in List"},
		"nil that is not empty":       {mediaXML, `<Sample xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Text i:nil="true">x</Text></Sample>`, "Body has an element that is nil and not empty: Text"},
		"all of it nil":               {mediaXML, `<Sample xsi:nil="true"/>`, "Body must not be nil"},
		"not UTF-8":                   {mediaXML, `<?xml version="1.0" encoding="iso-8859-1"?><Sample><Text>` + "\xeb</Text></Sample>", "Body is not valid UTF-8"},
		"half a UTF-16":               {mediaXML, "\xff\xfe<", "Body is not valid UTF-16"},
		"half a surrogate pair":       {mediaXML, "\xff\xfe\x00\xd8<\x00", "Body is not valid UTF-16"},
		"UTF-16 without its mark":     {mediaXML, strings.TrimPrefix(utf16Of(binary.LittleEndian, "<Sample/>"), "\xff\xfe"), "Body is not valid XML at line 1"},
		"a document type":             {mediaXML, `<!DOCTYPE Sample><Sample/>`, "Body must not have a document type (DTD)"},
		"one that is in the element":  {mediaXML, `<Sample><!DOCTYPE Sample></Sample>`, "Body must not have a document type (DTD)"},
		"an external entity":          {mediaXML, `<!DOCTYPE Sample [<!ENTITY x SYSTEM "file:///etc/passwd">]><Sample><Text>&x;</Text></Sample>`, "Body must not have a document type (DTD)"},
		"an entity of nobody":         {mediaXML, `<Sample><Text>&x;</Text></Sample>`, "Body is not valid XML at line 1"},
		"a billion laughs": {mediaXML, `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><Sample><Text>&b;</Text></Sample>`,
			"Body must not have a document type (DTD)"},
		"megabytes of attributes": {mediaXML, "<Sample>\n<Text" + strings.Repeat(` a=">"`, 500_000) + "/></Sample>",
			"Body has an element of which the start is longer than 16 KiB, at line 2"},
		"megabytes of nested XML":  {mediaXML, "<Sample>" + deep("<a>", "</a>"), "Body is nested too deeply at line 1"},
		"megabytes of nested JSON": {mediaJSON, `{"Text":` + deep("[", "]"), "Body is nested too deeply at byte 41"},
	} {
		t.Run(claim, func(t *testing.T) {
			_, err := askSample(t, sampleShape, tc.media, tc.body)
			if err == nil || scheduler.KindOf(err) != scheduler.Invalid || err.Error() != tc.want {
				t.Errorf("%v, want\n%s", err, tc.want)
			}
		})
	}
}

// TestAskRequired: what must have a value and has none is told, once.
func TestAskRequired(t *testing.T) {
	s := sampleShape.require("Text", "Kind", "At")
	for media, body := range map[string]string{
		mediaJSON: `{"At":null,"Text":" ","Kind":"\t"}`, mediaXML: "<Sample><Kind> </Kind><Text>\n</Text></Sample>", mediaForm: "Kind=&ID=",
	} {
		if _, err := askSample(t, s, media, body); err == nil || err.Error() != "Text is required; Kind is required; At is required" {
			t.Errorf("%s: %v", media, err)
		}
	}
	if _, err := askSample(t, s, mediaJSON, `{"At":"2026-01-31","Text":"x","Kind":0}`); err != nil {
		t.Error(err)
	}
	if _, err := askSample(t, s, mediaJSON, `{"At":"never","Text":7}`); err == nil ||
		err.Error() != "At must be a date of ISO 8601, such as 2026-01-31T08:30:00+01:00; Text must be a string; Kind is required" {
		t.Error(err)
	}
}

func TestTellFlags(t *testing.T) {
	for sum, want := range []string{"NONE", "EMAIL", "WEBHOOK", "EMAIL, WEBHOOK", "FAX"} {
		if got := tellFlags(sampleSet, sum); got != want {
			t.Errorf("%d is %q", sum, got)
		}
	}
}

// FuzzAskXML: no XML is too much for the decoder, and it takes what it wrote
// itself.
func FuzzAskXML(f *testing.F) {
	f.Add(`<Sample><Text>a</Text><List><string>b</string></List></Sample>`)
	f.Add(`<?xml version="1.0" encoding="utf-16"?><Sample xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><At xsi:nil="true"/><Kind>ONE</Kind></Sample>`)
	f.Add(`<!DOCTYPE a [<!ENTITY b "c">]><Sample>&b;</Sample>`)
	f.Add("\xff\xfe<\x00S\x00")
	f.Fuzz(func(t *testing.T, body string) { fuzzAsk(t, mediaXML, body) })
}

// FuzzAskForm: nor any form.
func FuzzAskForm(f *testing.F) {
	f.Add("Text=a&List=b&List=c&Kind=ONE&At=2026-01-31T08:30:00%2B01:00")
	f.Add("Text[]=a&=%00&ID")
	f.Fuzz(func(t *testing.T, body string) { fuzzAsk(t, mediaForm, body) })
}

// FuzzAskJSON: nor any JSON.
func FuzzAskJSON(f *testing.F) {
	f.Add(`{"Text":"a","List":["b"],"Set":["EMAIL"],"At":"2026-01-31T08:30:00.1234567","Count":"7","ID":"5f2ab0f5-95be-40d5-834f-d6353ea0a8be"}`)
	f.Add("\ufeff{}")
	f.Fuzz(func(t *testing.T, body string) { fuzzAsk(t, mediaJSON, body) })
}

// fuzzAsk reads a body; what is taken means the same when it is written in the
// other formats.
func fuzzAsk(t *testing.T, media, body string) {
	got, err := askSample(t, sampleShape, media, body)
	if err != nil {
		if scheduler.KindOf(err) != scheduler.Invalid || err.Error() == "" {
			t.Fatalf("%v", err)
		}
		return
	}
	got.Cleared = nil
	asked := map[string]string{"Text": got.Text, "Kind": fmt.Sprint(got.Kind), "Set": tellFlags(sampleSet, got.Set)}
	if got.ID != "" {
		asked["ID"] = got.ID
	}
	if got.On {
		asked["Is"] = fmt.Sprint(got.Is)
	}
	if got.Count != nil {
		asked["Count"] = fmt.Sprint(*got.Count)
	}
	if !got.At.IsZero() {
		asked["At"] = got.At.Format("2006-01-02T15:04:05.9999999Z07:00")
	}
	for _, as := range []string{mediaJSON, mediaXML, mediaForm} {
		again, err := askSample(t, sampleShape, as, written(as, asked, got.List))
		if again.Cleared = nil; err != nil || !same(again, got, as) {
			t.Fatalf("%q\nis %+v, and as %s\n   %+v, %v", body, got, as, again, err)
		}
	}
}

// written writes the members of a sample in a format.
func written(media string, members map[string]string, list []string) string {
	var b strings.Builder
	switch media {
	case mediaXML:
		var x xmlAnswer
		for name, value := range members {
			x.element(name, reflect.ValueOf(value))
		}
		x.element("List", reflect.ValueOf(list))
		return "<Sample>" + x.String() + "</Sample>"
	case mediaForm:
		form := url.Values{"List": list}
		for name, value := range members {
			form.Set(name, value)
		}
		return form.Encode()
	}
	all := map[string]any{"List": list}
	for name, value := range members {
		all[name] = value
	}
	_ = json.NewEncoder(&b).Encode(all)
	return b.String()
}

// same compares samples, but for what a format cannot tell: XML has no control
// characters, and neither it nor a form a list of one empty text.
func same(a, b sample, media string) bool {
	control := strings.ContainsFunc(b.Text+strings.Join(b.List, ""), func(r rune) bool { return r < ' ' || r == 0xfffe || r == 0xffff })
	if media == mediaXML && control {
		a.Text, b.Text, a.List, b.List = "", "", nil, nil
	}
	if len(b.List) == 0 || len(b.List) == 1 && strings.TrimSpace(b.List[0]) == "" {
		a.List, b.List = nil, nil
	}
	a.Count, b.Count = nil, nil
	return reflect.DeepEqual(a, b)
}

// TestAskIsNotLonger: a text is about as long in the JSON that is made of it, and
// the same.
func TestAskIsNotLonger(t *testing.T) {
	text := strings.Repeat("<&>é\u2028 ", 1000)
	all := text + "\"\\\t\n/\x7f"
	for media, ask := range map[string]func() (string, string){
		mediaXML: func() (string, string) {
			return jsonOfXML("<Sample><Text><![CDATA["+all+"]]></Text></Sample>", []string{"Sample"})
		},
		mediaForm: func() (string, string) { return jsonOfForm("Text=" + url.QueryEscape(all)) },
	} {
		made, wrong := ask()
		if wrong != "" || len(made) > len(text)+100 {
			t.Errorf("%s: %q, %d bytes of %d", media, wrong, len(made), len(text))
		}
		var got sample
		if err := json.Unmarshal([]byte(made), &got); err != nil || got.Text != all {
			t.Errorf("%s: another text, %v", media, err)
		}
	}
}
