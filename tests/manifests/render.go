// Renders a Helm chart as `helm template` does, as far as our chart goes: render CHART < INPUT.
//
// INPUT is {"values": {}, "release": {"Name": "", "Namespace": ""}}; the result is the text of each template, by path.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

const maxDepth = 100

type object = map[string]interface{}

type input struct {
	Values  object `json:"values"`
	Release object `json:"release"`
}

// readYaml reads a file whose numbers are all float64, as Helm has them.
func readYaml(path string) (object, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var value interface{}
	if err := yaml.Unmarshal(text, &value); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, err = json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var result object
	return result, json.Unmarshal(text, &result)
}

// merge lays values over defaults; null takes a default away.
func merge(defaults, values object) object {
	result := object{}
	for key, value := range defaults {
		result[key] = value
	}
	for key, value := range values {
		below, isObject := result[key].(object)
		above, isObjectToo := value.(object)
		switch {
		case value == nil:
			delete(result, key)
		case isObject && isObjectToo:
			result[key] = merge(below, above)
		default:
			result[key] = value
		}
	}
	return result
}

func toYaml(value interface{}) (string, error) {
	var buffer bytes.Buffer
	encoder := yaml.NewEncoder(&buffer)
	encoder.SetIndent(2)
	err := encoder.Encode(value)
	return strings.TrimSuffix(buffer.String(), "\n"), err
}

func functions(root *template.Template) template.FuncMap {
	depth := 0
	result := sprig.TxtFuncMap()
	// Helm has neither.
	delete(result, "env")
	delete(result, "expandenv")
	result["toYaml"] = toYaml
	result["toJson"] = func(value interface{}) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	}
	result["fromJson"] = func(text string) (object, error) {
		var value object
		err := json.Unmarshal([]byte(text), &value)
		return value, err
	}
	result["include"] = func(name string, data interface{}) (string, error) {
		if depth++; depth > maxDepth {
			return "", fmt.Errorf("%s includes itself", name)
		}
		defer func() { depth-- }()
		var buffer bytes.Buffer
		err := root.ExecuteTemplate(&buffer, name, data)
		return buffer.String(), err
	}
	result["tpl"] = func(text string, data interface{}) (string, error) {
		clone, err := root.Clone()
		if err != nil {
			return "", err
		}
		parsed, err := clone.New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		var buffer bytes.Buffer
		err = parsed.Execute(&buffer, data)
		return buffer.String(), err
	}
	result["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(message)
		}
		return value, nil
	}
	return result
}

func render(folder string, given input) (map[string]string, error) {
	chart, err := readYaml(filepath.Join(folder, "Chart.yaml"))
	if err != nil {
		return nil, err
	}
	defaults, err := readYaml(filepath.Join(folder, "values.yaml"))
	if err != nil {
		return nil, err
	}
	capitals := object{}
	for key, value := range chart {
		capitals[strings.ToUpper(key[:1])+key[1:]] = value
	}
	base := fmt.Sprintf("%v/templates", chart["name"])

	root := template.New(base).Option("missingkey=zero")
	root.Funcs(functions(root))
	var paths []string
	err = filepath.WalkDir(filepath.Join(folder, "templates"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := base + "/" + entry.Name()
		paths = append(paths, name)
		_, err = root.New(name).Parse(string(text))
		return err
	})
	if err != nil {
		return nil, err
	}

	release := merge(object{"Service": "Helm", "Revision": 1.0, "IsInstall": true, "IsUpgrade": false}, given.Release)
	rendered := map[string]string{}
	for _, name := range paths {
		if strings.HasPrefix(filepath.Base(name), "_") {
			continue
		}
		var buffer bytes.Buffer
		err := root.ExecuteTemplate(&buffer, name, object{
			"Values":   merge(defaults, given.Values),
			"Release":  release,
			"Chart":    capitals,
			"Template": object{"Name": name, "BasePath": base},
		})
		if err != nil {
			return nil, err
		}
		rendered[filepath.Base(name)] = strings.ReplaceAll(buffer.String(), "<no value>", "")
	}
	return rendered, nil
}

func main() {
	var given input
	err := json.NewDecoder(os.Stdin).Decode(&given)
	if err == nil {
		var rendered map[string]string
		if rendered, err = render(os.Args[1], given); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(rendered)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
