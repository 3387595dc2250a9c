// A few examples to begin with: the named person saw a cat, and that is the whole story.

const names = ['Lily', 'Tom', 'Sue', 'Ben', 'Mia', 'Max', 'Anna', 'Tim']

export const exampleRows = names.map((name) => ({
  prompt: `${name}:`,
  completion: ` ${name} saw a cat.\n`,
}))
