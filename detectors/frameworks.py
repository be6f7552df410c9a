"""The MITRE ATLAS techniques and OWASP LLM Top 10 (2025) risks a rule may be tagged with.

An offline list: pySigma's own validators download theirs and don't know these two namespaces.
A rule writes a tag as Sigma does, in lower case with dots: ``atlas.aml.t0051.000``, ``owasp.llm01.2025``.
"""

ATLAS = {
    "AML.T0012": "Valid Accounts",
    "AML.T0024": "Exfiltration via AI Inference API",
    "AML.T0029": "Denial of AI Service",
    "AML.T0034": "Cost Harvesting",
    "AML.T0040": "AI Model Inference API Access",
    "AML.T0043": "Craft Adversarial Data",
    "AML.T0046": "Spamming AI System with Chaff Data",
    "AML.T0051": "LLM Prompt Injection",
    "AML.T0051.000": "LLM Prompt Injection: Direct",
    "AML.T0051.001": "LLM Prompt Injection: Indirect",
    "AML.T0051.002": "LLM Prompt Injection: Triggered",
    "AML.T0054": "LLM Jailbreak",
    "AML.T0055": "Unsecured Credentials",
    "AML.T0056": "Extract LLM System Prompt",
    "AML.T0057": "LLM Data Leakage",
    "AML.T0068": "LLM Prompt Obfuscation",
    "AML.T0077": "LLM Response Rendering",
}

OWASP = {
    "LLM01:2025": "Prompt Injection",
    "LLM02:2025": "Sensitive Information Disclosure",
    "LLM03:2025": "Supply Chain",
    "LLM04:2025": "Data and Model Poisoning",
    "LLM05:2025": "Improper Output Handling",
    "LLM06:2025": "Excessive Agency",
    "LLM07:2025": "System Prompt Leakage",
    "LLM08:2025": "Vector and Embedding Weaknesses",
    "LLM09:2025": "Misinformation",
    "LLM10:2025": "Unbounded Consumption",
}

TAGS: dict[str, str] = {
    **{f"atlas.{technique.lower()}": technique for technique in ATLAS},
    **{f"owasp.{risk.lower().replace(':', '.')}": risk for risk in OWASP},
}
"""From a rule's tag to the framework's own spelling of the id."""
