// Who may import whom, each rule with its reason. Checked by dependency-cruiser over the sources.
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from: { path: from }, to: { path: to } })

const parts = ['relay', 'agent', 'cli']

module.exports = {
  forbidden: [
    rule(
      'shared-stands-alone',
      'What all three agree on depends on none of them.',
      '^shared/',
      '^(relay|agent|cli|test|scripts)/',
    ),
    ...parts.map(part =>
      rule(
        `${part}-knows-no-other-part`,
        'Relay, agent and CLI talk over sockets, never by import: each is installed without the others.',
        `^${part}/`,
        `^(${parts.filter(other => other !== part).join('|')}|test|scripts)/`,
      ),
    ),
    rule('mask-is-pure', 'Masks are used by every room and know none.', '^relay/mask/', '^relay/(?!mask/)'),
    rule(
      'rooms-reach-policy-and-record-through-the-gate',
      'A room sees only its own folder, the interfaces beside it, and masks; what is decided and written goes through Gate.',
      '^relay/protocols/[^/]+/',
      '^relay/(?!protocols/|mask/|node_modules/)',
    ),
    {
      name: 'rooms-do-not-know-each-other',
      comment: 'A protocol can be added or taken away by one line in the registry.',
      severity: 'error',
      from: { path: '^relay/protocols/([^/]+)/' },
      to: { path: '^relay/protocols/([^/]+)/', pathNot: '^relay/protocols/$1/' },
    },
    rule(
      'policy-is-pure',
      'The decision point can be replayed and tested without anything else.',
      '^relay/policy/(?!load)',
      '^relay/(?!policy/)',
    ),
    rule('store-knows-nobody', 'The store is below everything.', '^relay/store/', '^relay/(?!store/)'),
    rule('record-knows-nobody', 'The record is below everything.', '^relay/record/', '^relay/(?!record/)'),
    rule(
      'sessions-below-the-door',
      'Sessions do not know how connections come in.',
      '^relay/session/',
      '^relay/(ingress|admin)/',
    ),
    rule(
      'pure-files-do-no-io',
      'Codecs, machines, analysis, masks and policy are fuzzed and replayed without a socket, a clock or a file.',
      '^relay/(policy/(?!load)|mask/|record/(line|events)|protocols/http/(masking/|(graphql|members|message|location|routes|admission|fields|body|operation|request|plan|tags|problem|hint|masking-of|spelling|perform|patch|path-values)\\.)|protocols/postgres/(?!index|serve|decider|catalog-reader|cancels|analysis/(analyser|worker)))',
      '^(node:)?(fs|net|http|https|tls|child_process|worker_threads|timers|dns|process)(/|$)',
    ),
    rule(
      'one-file-knows-s3',
      'The client of S3 is behind relay/record/object-store.ts, and loaded only where there is a bucket.',
      '^(?!relay/(dist/)?record/object-store\\.|test/)',
      '(^|/)node_modules/@aws-sdk/',
    ),
    rule(
      'one-file-knows-ws',
      'gate’s own WebSockets are behind shared/websocket/; those of services are read by the HTTP room.',
      '^(?!shared/(dist/)?websocket/|relay/protocols/http/(upgrade|messages)\\.|test/|scripts/)',
      '(^|/)node_modules/ws/',
    ),
    rule(
      'one-file-knows-keytar',
      'The keychain is behind cli/keychain.ts.',
      '^(?!cli/keychain\\.ts|test/)',
      '(^|/)node_modules/(keytar|@napi-rs)/',
    ),
    rule(
      'cli-knows-no-protocol',
      'The user machine moves bytes; protocols live at the relay and beside the target.',
      '^cli/',
      'node_modules/(pg|pg-protocol|ssh2|libpg-query)/',
    ),
    rule(
      'tests-are-not-shipped',
      'Nothing that runs in production imports a test.',
      '^(shared|relay|agent|cli)/',
      '^(test|scripts)/',
    ),
    {
      name: 'no-cycles',
      comment: 'Files that need each other are one file, or the shape is wrong.',
      severity: 'error',
      from: { path: '^(shared|relay|agent|cli)/' },
      to: { circular: true, dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '/dist/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'default'],
      extensions: ['.ts', '.tsx', '.js', '.d.ts'],
    },
    builtInModules: { add: [] },
  },
}
