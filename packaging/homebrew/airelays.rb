# Formula for a tap. build/release.py writes a copy with version and digest filled in to dist/.
class Airelays < Formula
  desc "Local OpenAI-compatible relay for one person's own upstream login"
  homepage "https://github.com/airelays/airelays"
  url "https://github.com/airelays/airelays/releases/download/v@VERSION@/airelays.py"
  version "@VERSION@"
  sha256 "@SHA256@"
  license "MIT"

  depends_on "python@3.13"

  def install
    libexec.install "airelays.py"
    (bin/"airelays").write <<~SH
      #!/bin/sh
      export AIRELAYS_STARTED_AS=airelays
      exec "#{Formula["python@3.13"].opt_bin}/python3.13" -I "#{libexec}/airelays.py" "$@"
    SH
    generate_completions_from_executable(bin/"airelays", "completion", shells: [:bash, :zsh, :fish])
    (man1/"airelays.1").write Utils.safe_popen_read(bin/"airelays", "manpage")
  end

  service do
    run [opt_bin/"airelays", "serve", "--make-token"]
    keep_alive crashed: true
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/airelays --version")
    system bin/"airelays", "doctor", "--self-test"
  end
end
