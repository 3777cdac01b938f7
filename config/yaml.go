package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// defaultFile is read if it is there and no other is named.
const defaultFile = "ringback.yaml"

// yamlFile is what the YAML file says.
type yamlFile struct {
	values map[string]given // by key
	trunks []Trunk
}

// readFile reads the YAML file that the flags or the environment name.
func readFile(src Source, flags map[string]string, faults *Faults) yamlFile {
	named := settings[0].find(src, flags, yamlFile{}, faults)
	path := named.text
	if path == "" {
		path = defaultFile
	}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && named.text == "":
		return yamlFile{}
	case err != nil:
		faults.add(named.from, "%s", reason(err))
		return yamlFile{}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		faults.add(path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return yamlFile{}
	}
	return readRoot(path, &doc, faults)
}

// readRoot reads the mapping at the top of the file.
func readRoot(path string, doc *yaml.Node, faults *Faults) yamlFile {
	file := yamlFile{values: map[string]given{}}
	if len(doc.Content) == 0 { // an empty file
		return file
	}
	allowed := map[string]bool{}
	for _, s := range settings[1:] {
		allowed[s.key()] = true
		if s.secret {
			allowed[s.key()+"_file"] = true
		}
	}
	walk(path, "", doc.Content[0], faults, func(key string, from string, value *yaml.Node) {
		switch {
		case key == "trunks":
			file.trunks = readTrunks(path, value, faults)
		case allowed[key]:
			if text, ok := flatten(value); ok {
				file.values[key] = given{text, from}
			} else {
				faults.add(from, "must be a single value")
			}
		case isNotYet(key):
			faults.add(from, "is not supported yet by this release")
		default:
			faults.add(from, "is not a setting")
		}
	})
	for key := range file.values {
		if _, ok := file.values[key+"_file"]; ok {
			faults.add(file.values[key].from, "is given twice: here and as %s_file", key)
		}
	}
	return file
}

func isNotYet(key string) bool {
	for _, name := range notYet {
		if strings.EqualFold(name, key) {
			return true
		}
	}
	return false
}

// walk calls each for every key of a mapping, once, with where it stands.
func walk(path, in string, node *yaml.Node, faults *Faults, each func(key, from string, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		faults.add(fmt.Sprintf("%s:%d %s", path, node.Line, in), "must be a mapping of names to values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		from := fmt.Sprintf("%s:%d %s%s", path, key.Line, in, key.Value)
		if seen[key.Value] {
			faults.add(from, "stands twice")
			continue
		}
		seen[key.Value] = true
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		each(key.Value, from, value)
	}
}

// flatten returns a scalar, or a list of scalars by commas.
func flatten(node *yaml.Node) (string, bool) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", true
		}
		return node.Value, true
	case yaml.SequenceNode:
		parts := make([]string, len(node.Content))
		for i, n := range node.Content {
			if n.Kind != yaml.ScalarNode {
				return "", false
			}
			parts[i] = n.Value
		}
		return strings.Join(parts, ","), true
	}
	return "", false
}
