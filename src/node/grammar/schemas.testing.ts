// For tests: schemas of many kinds. Each is expressed completely by its grammar: parts that only a
// late check can verify are in late.test.ts.

const object = (properties: object, required = Object.keys(properties), more: object = {}) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
  ...more,
})
const text = (more: object = {}) => ({ type: 'string', maxLength: 12, ...more })
const int = (minimum: number, maximum: number) => ({ type: 'integer', minimum, maximum })
const list = (items: unknown, minItems: number, maxItems: number) => ({
  type: 'array',
  items,
  minItems,
  maxItems,
})

export const schemas: Readonly<Record<string, unknown>> = {
  boolean: { type: 'boolean' },
  nothing: { type: 'null' },
  constant: { const: 'foooooo' },
  'constant object': { const: { a: [1, 'x'], b: null } },
  enum: { enum: ['red', 'green', 'blue', 3, null, true] },
  'enum of unicode': { enum: ['é', '日本', '😀', 'a"b', 'a\\b', 'tab\there', ''] },
  'enum with a type': { type: 'string', enum: ['a', 1, 'b', null] },
  integer: { type: 'integer' },
  'integer from': { type: 'integer', minimum: 7 },
  'integer between': int(-12, 345),
  'integer exclusive': { type: 'integer', exclusiveMinimum: 9, exclusiveMaximum: 101 },
  number: { type: 'number' },
  'number between': { type: 'number', minimum: -1.5, maximum: 2.25 },
  'number exclusive': { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  'number up to': { type: 'number', maximum: -0.5 },
  'draft 4 bounds': { type: 'integer', minimum: 3, maximum: 9 },
  string: text(),
  'string at least': text({ minLength: 3 }),
  'string exactly': { type: 'string', minLength: 4, maxLength: 4 },
  pattern: { type: 'string', pattern: '^[A-Z]{3}-[0-9]{4}$' },
  'pattern inside': { type: 'string', pattern: '^x[0-9]{1,3}' },
  'pattern of alternatives': { type: 'string', pattern: '^(cat|dog)s?$|^bird$' },
  'pattern with escapes': { type: 'string', pattern: '^["\\\\\\n]{2,5}$' },
  'pattern of unicode': { type: 'string', pattern: '^[\\u00e0-\\u00ff\\u4e00-\\u4e20]{1,4}$' },
  date: { type: 'string', format: 'date' },
  'date-time': { type: 'string', format: 'date-time' },
  uuid: { type: 'string', format: 'uuid' },
  ipv4: { type: 'string', format: 'ipv4' },
  time: { type: 'string', format: 'time' },
  person: object({ name: text(), age: int(0, 150) }),
  'optional properties': object({ a: int(0, 9), b: text(), c: { type: 'boolean' } }, []),
  'one required': object({ a: int(0, 9), b: text(), c: { type: 'boolean' } }, ['b']),
  nested: object({ user: object({ name: text(), home: object({ zip: int(10000, 99999) }) }) }),
  'names with signs': object({ 'a b': int(0, 1), 'é"\\': int(0, 1), '': int(0, 1) }),
  'additional properties': {
    type: 'object',
    properties: { id: int(1, 9), idx: { type: 'boolean' } },
    required: ['id'],
    additionalProperties: { type: 'integer', minimum: 0, maximum: 3 },
  },
  'pattern properties': {
    type: 'object',
    patternProperties: { '^x_[a-z]{1,3}$': int(0, 5) },
    additionalProperties: false,
    maxProperties: 3,
  },
  'property names': {
    type: 'object',
    propertyNames: { pattern: '^[a-z]{1,4}$' },
    additionalProperties: { type: 'boolean' },
    maxProperties: 2,
  },
  'array of numbers': list({ type: 'number', minimum: 0, maximum: 10 }, 1, 4),
  'array of arrays': list(list({ type: 'boolean' }, 2, 2), 0, 3),
  'array of objects': list(object({ n: int(0, 9), s: { enum: ['x', 'y'] } }), 1, 3),
  tuple: {
    type: 'array',
    prefixItems: [text(), int(0, 5), { type: 'boolean' }],
    items: false,
    minItems: 2,
  },
  'tuple with a rest': {
    type: 'array',
    prefixItems: [int(0, 5)],
    items: { enum: ['a', 'b'] },
    minItems: 2,
    maxItems: 5,
  },
  union: { anyOf: [{ type: 'null' }, int(5, 6), text()] },
  'union of objects': {
    oneOf: [
      object({ kind: { const: 'circle' }, r: int(1, 9) }),
      object({ kind: { const: 'box' }, w: int(1, 9), h: int(1, 9) }),
    ],
  },
  'types as a list': { type: ['integer', 'null', 'boolean'], minimum: 0, maximum: 99 },
  'all of': {
    allOf: [
      { type: 'object', properties: { a: { type: 'integer', minimum: 2 } }, required: ['a'] },
      { properties: { a: { maximum: 8 }, b: { type: 'boolean' } }, required: ['b'] },
    ],
  },
  references: {
    $ref: '#/$defs/pair',
    $defs: {
      pair: object({ x: { $ref: '#/$defs/digit' }, y: { $ref: '#/$defs/digit' } }),
      digit: int(0, 9),
    },
  },
  tree: {
    $defs: {
      node: object({ v: int(0, 9), kids: list({ $ref: '#/$defs/node' }, 0, 2) }, ['v']),
    },
    $ref: '#/$defs/node',
  },
  'linked list': {
    ...object({ head: int(0, 3), tail: { anyOf: [{ type: 'null' }, { $ref: '#' }] } }),
  },
  'required beside any of': {
    ...object(
      {
        mail: { type: 'string', format: 'email' },
        phone: { type: 'string', pattern: '^[0-9]{3,6}$' },
      },
      [],
    ),
    anyOf: [{ required: ['mail'] }, { required: ['phone'] }],
  },
  'long string': { type: 'string', maxLength: 60 },
  'long strings': object({
    title: text({ maxLength: 30 }),
    body: text({ minLength: 30, maxLength: 80 }),
  }),
  'long string or null': { anyOf: [{ type: 'null' }, object({ a: text({ maxLength: 40 }) })] },
  'any object': { type: 'object', maxProperties: 2, additionalProperties: int(0, 3) },
}
