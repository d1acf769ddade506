package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the package comment says of the files: it names each, and calls between them go down only,
// so that a walk through the code never comes back to where it was.
func TestCallsBetweenFilesGoDownOnly(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, home := map[string]*ast.File{}, map[string]string{} // the file of each function
	names, _ := filepath.Glob("*.go")
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if name != "doc.go" && !strings.Contains(string(doc), name) {
			t.Errorf("doc.go does not say what is in %s", name)
		}
		if files[name], err = parser.ParseFile(token.NewFileSet(), name, nil, 0); err != nil {
			t.Fatal(err)
		}
		for _, d := range files[name].Decls {
			if f, ok := d.(*ast.FuncDecl); ok && (f.Recv == nil || f.Recv.List[0].Names[0].Name == "n") {
				home[f.Name.Name] = name
			}
		}
	}
	calls := map[string]map[string]string{} // from file to file, by what function
	for name, file := range files {
		calls[name] = map[string]string{}
		ast.Inspect(file, func(x ast.Node) bool {
			var called string
			switch x := x.(type) {
			case *ast.SelectorExpr: // a method of Node
				if n, ok := x.X.(*ast.Ident); ok && n.Name == "n" {
					called = x.Sel.Name
				}
			case *ast.CallExpr: // a function
				if f, ok := x.Fun.(*ast.Ident); ok {
					called = f.Name
				}
			}
			if to := home[called]; to != "" && to != name {
				calls[name][to] = called
			}
			return true
		})
	}
	for len(calls) > 0 { // take away what calls nothing that is left
		before := len(calls)
		maps.DeleteFunc(calls, func(_ string, to map[string]string) bool {
			return !slices.ContainsFunc(slices.Collect(maps.Keys(to)), func(name string) bool { return calls[name] != nil })
		})
		if len(calls) == before {
			t.Fatalf("these files call one another in a circle, each from file to file by a function: %v", calls)
		}
	}
}
