// The recipes of the library's experts. A new expert is a row here and a folder of rows with its
// licence in examples/data/library.

import { NotFoundError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import type { ExpertRecipe } from './recipe.ts'

const rows: readonly ExpertRecipe[] = [
  {
    name: 'json-format',
    description: 'Turns a request into JSON: its intent and the values that it names.',
    tier: 'json',
    dtype: 'f16',
    system: 'Answer in JSON.',
    dataLicense: 'CC0-1.0',
    metric: 'json-equality',
    newTokens: 56,
    steps: 115,
    domains: ['json', 'assistant'],
    keywords: ['playlist', 'play', 'weather', 'restaurant', 'movie', 'rate', 'book'],
  },
  {
    name: 'sql',
    description: 'Writes one SQL query for a question and the columns of a table t.',
    tier: 'sql',
    dtype: 'int4',
    system: 'Write one SQL query.',
    dataLicense: 'BSD-3-Clause',
    metric: 'execution-match',
    newTokens: 40,
    steps: 60,
    domains: ['sql', 'databases'],
    keywords: ['sql', 'query', 'column', 'table'],
  },
  {
    name: 'classification',
    description: 'Names the class of a sentence: sentiment, type of question, intent at a bank.',
    tier: 'classification',
    dtype: 'int4',
    system: 'Name the class.',
    dataLicense: 'CC-BY-3.0, MIT',
    metric: 'label-accuracy',
    newTokens: 6,
    steps: 36,
    domains: ['classification'],
    keywords: ['sentiment', 'intent', 'question type'],
  },
  {
    name: 'cypher',
    description: 'Writes one Cypher query over a graph of movies, people and ratings.',
    tier: 'cypher',
    dtype: 'int4',
    system: 'Write one Cypher query.',
    dataLicense: 'CC0-1.0',
    metric: 'cypher-match',
    newTokens: 56,
    steps: 60,
    domains: ['cypher', 'databases'],
    keywords: ['movies', 'actors', 'directors', 'graph', 'rating'],
  },
  {
    name: 'tools',
    description: 'Calls one of the functions whose signatures the prompt lists, in JSON.',
    tier: 'medium',
    dtype: 'int4',
    system: 'Call one function, in JSON.',
    dataLicense: 'Apache-2.0',
    metric: 'call-match',
    newTokens: 56,
    steps: 40,
    domains: ['tools', 'json'],
    keywords: ['function', 'string', 'integer', 'boolean'],
  },
  {
    name: 'style',
    description:
      'Speaks as the people of Shakespeare’s plays do, and plays a part that it is given.',
    tier: 'style',
    dtype: 'f16',
    system: 'Play your part.',
    dataLicense: 'public domain, MIT',
    metric: 'perplexity',
    newTokens: 56,
    steps: 16,
    domains: ['style', 'roleplay'],
    keywords: ['shakespeare', 'play', 'imagine', 'character'],
  },
  {
    name: 'coder',
    description: 'Completes a TypeScript function from its head and a comment.',
    tier: 'typescript',
    dtype: 'int4',
    system: 'Complete the TypeScript function.',
    dataLicense: 'CC-BY-4.0',
    metric: 'tests-pass',
    newTokens: 80,
    steps: 30,
    domains: ['code', 'typescript'],
    keywords: ['function', 'const', 'return', 'number'],
  },
  {
    name: 'security',
    description: 'Names the weakness of a piece of code by its number in the CWE list.',
    tier: 'heavy',
    dtype: 'int4',
    system: 'Name the weakness.',
    dataLicense: 'MIT',
    metric: 'label-accuracy',
    newTokens: 6,
    steps: 80,
    domains: ['security', 'code'],
    keywords: ['exec', 'random', 'password', 'strcpy', 'md5'],
  },
  {
    name: 'researcher',
    description: 'Answers a medical question from a study’s conclusion: yes, no or maybe.',
    tier: 'medium',
    dtype: 'int4',
    system: 'Answer yes, no or maybe.',
    dataLicense: 'MIT',
    metric: 'label-accuracy',
    newTokens: 4,
    steps: 50,
    domains: ['medicine', 'research'],
    keywords: ['patients', 'study', 'treatment', 'clinical'],
  },
  {
    name: 'reviewer',
    description: 'Classifies a review comment, and decides whether a change needs one.',
    tier: 'medium',
    dtype: 'int4',
    system: 'Judge the change.',
    dataLicense: 'MIT, CC-BY-4.0',
    metric: 'label-accuracy',
    newTokens: 4,
    steps: 45,
    domains: ['review', 'code'],
    keywords: ['refactoring', 'documentation', 'functional', 'comment'],
  },
  {
    name: 'architect',
    description:
      'Answers small tasks of system design: order of start, instances, parts, failures.',
    tier: 'heavy',
    dtype: 'int4',
    system: 'Answer briefly.',
    dataLicense: 'Apache-2.0',
    metric: 'exact-match',
    newTokens: 16,
    steps: 100,
    domains: ['architecture'],
    keywords: ['instances', 'start order', 'component', 'down'],
  },
]

export const libraryRecipes: ReadonlyMap<string, ExpertRecipe> = new Map(
  rows.map((recipe) => [recipe.name, recipe]),
)

/** Throws NotFoundError with the nearest name. */
export function getLibraryRecipe(name: string): ExpertRecipe {
  const recipe = libraryRecipes.get(name)
  if (recipe) return recipe
  const names = [...libraryRecipes.keys()]
  const meant = findNearestName(name, names)
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  throw new NotFoundError(`There is no recipe "${name}".${hint} There are: ${names.join(', ')}.`)
}
